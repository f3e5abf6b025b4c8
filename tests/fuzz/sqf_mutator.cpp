// Mutations that know the format: a field of the header, of a section record or of a directory
// record, a section's text, a whole encoding with its components. Most results are laid out and
// sealed again, or nothing behind the first checksum would ever run.

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <utility>

#include "format/head.hpp"
#include "format/zstd.hpp"
#include "tests/fuzz/reseal.hpp"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned seed);

namespace sqf {
namespace {

using Bytes = std::vector<std::byte>;

class Mutator {
 public:
  Mutator(unsigned seed, size_t max_size) : random_(seed), max_size_(max_size) {}

  Bytes run(Bytes file) {
    if (chance(4)) return any_bytes(std::move(file), max_size_);
    auto pieces = take_apart(file);
    if (!pieces || pieces->sections.empty() || chance(6)) {
      file = any_bytes(std::move(file), max_size_);
      reseal(file);
      return file;
    }
    const size_t rounds = 1 + below(3);
    for (size_t i = 0; i < rounds; i++) change(*pieces);
    const size_t table_bytes = pieces->sections.size() * sizeof(SectionRecord);
    Bytes result = put_together(std::move(*pieces));
    // What put_together has set right is damaged here, under good checksums.
    if (chance(8)) field(result, 0, sizeof(Header));
    if (chance(8)) field(result, sizeof(Header), table_bytes);
    if (!chance(2)) reseal(result);
    return result;
  }

 private:
  size_t below(size_t bound) { return random_() % bound; }
  bool chance(size_t percent) { return below(100) < percent; }

  Bytes any_bytes(Bytes bytes, size_t max_size) {
    const size_t size = bytes.size();
    if (size + max_size == 0) return bytes;
    bytes.resize(std::max(max_size, size));
    auto* data = reinterpret_cast<uint8_t*>(bytes.data());
    bytes.resize(LLVMFuzzerMutate(data, size, bytes.size()));
    return bytes;
  }

  uint64_t interesting(uint64_t old) {
    constexpr std::array<uint64_t, 30> kValues = {
        0,    1,    2,    3,     4,     5,     7,       8,       15,         16,
        17,   31,   32,   33,    63,    64,    127,     128,     255,        256,
        4095, 4096, 8192, 65535, 65536, 65537, 1 << 24, 1 << 30, 0x7fffffff, 0xffffffff};
    switch (below(6)) {
      case 0:
        return old + 1 + below(16);
      case 1:
        return old - 1 - below(16);
      case 2:
        return old ^ uint64_t { 1 } << below(64);
      case 3:
        return uint64_t{1} << below(64);
      case 4:
        return ~uint64_t{0} - below(4);
      default:
        return kValues[below(kValues.size())];
    }
  }

  /// One number of 1, 2, 4 or 8 bytes in [begin, begin + size), at its own alignment.
  void field(Bytes& bytes, size_t begin, size_t size) {
    constexpr std::array<size_t, 4> kWidths = {1, 2, 4, 8};
    if (begin >= bytes.size()) return;
    size = std::min(size, bytes.size() - begin);
    const size_t width = kWidths[below(kWidths.size())];
    if (size < width) return;
    const size_t at = begin + below(size / width) * width;
    uint64_t value = 0;
    std::memcpy(&value, bytes.data() + at, width);
    value = interesting(value);
    std::memcpy(bytes.data() + at, &value, width);
  }

  void change(Pieces& pieces) {
    switch (below(10)) {
      case 0:
        return header(pieces.header);
      case 1:
        return record(pieces);
      case 2:
      case 3:
        return directory_field(pieces);
      case 4:
      case 5:
        return directory(pieces);
      case 6:
        return sections(pieces);
      case 7:
        return compression(pieces);
      case 8:
        return content(pieces, true);
      default:
        return content(pieces, false);
    }
  }

  void header(Header& h) {
    Bytes bytes(sizeof h);
    std::memcpy(bytes.data(), &h, sizeof h);
    // Mostly what means something: between the magic and the reserved bytes.
    constexpr size_t kFields = offsetof(Header, major), kReserved = offsetof(Header, reserved_a);
    if (chance(90))
      field(bytes, kFields, kReserved - kFields);
    else
      field(bytes, 0, sizeof h);
    std::memcpy(&h, bytes.data(), sizeof h);
  }

  void record(Pieces& pieces) {
    SectionRecord& s = pieces.sections[below(pieces.sections.size())].record;
    Bytes bytes(sizeof s);
    std::memcpy(bytes.data(), &s, sizeof s);
    field(bytes, 0, sizeof s);
    std::memcpy(&s, bytes.data(), sizeof s);
  }

  /// One field of one record; the records are picked by kind, or the many components would take
  /// nearly all of it.
  void directory_field(Pieces& pieces) {
    Piece* tdir = pieces.find(SectionKind::tdir);
    if (tdir == nullptr) return;
    DirectoryHeader h;
    if (tdir->bytes.size() < sizeof h) return;
    std::memcpy(&h, tdir->bytes.data(), sizeof h);
    const std::array<std::pair<size_t, size_t>, 5> arrays = {
        {{h.encoding_count, sizeof(EncodingRecord)},
         {h.input_count, sizeof(InputRecord)},
         {h.tensor_count, sizeof(TensorRecord)},
         {h.part_count, sizeof(PartRecord)},
         {h.component_count, sizeof(ComponentRecord)}}};
    const size_t which = below(arrays.size() + 2);
    if (which == arrays.size()) return field(tdir->bytes, 0, sizeof h);
    size_t at = sizeof h;
    for (size_t i = 0; i < arrays.size(); i++) {
      const auto [count, size] = arrays[i];
      if (i == which) {
        if (count > 0) field(tdir->bytes, at + below(count) * size, size);
        return;
      }
      at += count * size;
    }
    field(tdir->bytes, at, h.name_bytes);
  }

  EncodingRecord new_encoding() {
    constexpr std::array<Element, 6> kScales = {Element::f32,  Element::f16,  Element::bf16,
                                                Element::e8m0, Element::e4m3, Element::u8};
    constexpr std::array<uint32_t, 7> kGroups = {0, 16, 32, 64, 96, 128, 65536};
    constexpr std::array<std::array<uint16_t, kMaxPlanes>, 10> kPlanes = {
        {{256}, {16}, {5}, {3}, {4}, {2}, {16, 2}, {16, 4, 2}, {4, 2}, {2, 2, 2, 2, 2, 2, 2, 2}}};
    if (chance(15)) return real_encoding(kScales[below(3)]);
    EncodingRecord e = {};
    e.grid = static_cast<Grid>(1 + below(3));
    e.radices = kPlanes[below(kPlanes.size())];
    e.plane_count = static_cast<uint8_t>(std::count_if(e.radices.begin(), e.radices.end(),
                                                       [](uint16_t radix) { return radix > 0; }));
    e.scale_type = kScales[below(kScales.size())];
    e.group = kGroups[below(kGroups.size())];
    e.row_factor = static_cast<uint8_t>(below(2));
    if (e.grid == Grid::affine) {
      e.zero = static_cast<ZeroKind>(1 + below(4));
      if (e.zero == ZeroKind::constant) e.zero_constant = static_cast<uint32_t>(below(4));
    }
    if (e.grid == Grid::levels) {
      e.level_count = static_cast<uint8_t>(2 + below(4));
      for (size_t i = 0; i < e.level_count; i++) e.levels[i] = static_cast<float>(below(9)) - 4;
    }
    if (e.grid == Grid::minifloat) {
      const int bits = std::countr_zero(std::bit_ceil(code_count(e)));
      e.exponent_bits = static_cast<uint8_t>(1 + below(7));
      e.mantissa_bits = static_cast<uint8_t>(std::max(0, bits - 1 - e.exponent_bits));
      e.exponent_bias = (1 << (e.exponent_bits - 1)) - 1;
      e.minifloat = static_cast<MinifloatKind>(1 + below(2));
    }
    return e;
  }

  /// Connects what a new encoding needs and drops what it lacks, stealing nothing.
  static void connect(Directory& d, PartRecord& p) {
    const EncodingRecord& e = d.encodings[p.encoding];
    const auto want = [&](uint32_t& index, bool wanted) {
      if (wanted && index == kNone) {
        index = static_cast<uint32_t>(d.components.size());
        d.components.push_back({});
      }
      if (!wanted) index = kNone;
    };
    const size_t planes = e.grid == Grid::real ? 1 : e.plane_count;
    for (size_t i = 0; i < kMaxPlanes; i++) want(p.planes[i], i < planes);
    want(p.scales, e.scale_type != Element::none);
    want(p.row_factors, e.row_factor != 0);
    want(p.zeros, e.zero >= ZeroKind::u4);
    want(p.row_sums, false);
  }

  /// Components that nothing names any more go, the rest move up.
  static void compact(Directory& d) {
    std::vector<uint32_t> place(d.components.size(), kNone);
    std::vector<ComponentRecord> kept;
    const auto move = [&](uint32_t& index) {
      if (index >= place.size()) return;
      if (place[index] == kNone) {
        place[index] = static_cast<uint32_t>(kept.size());
        kept.push_back(d.components[index]);
      }
      index = place[index];
    };
    for (InputRecord& in : d.inputs) {
      move(in.smooth);
      for (ColumnSetRecord& s : in.sets)
        if (s.kind == ColumnKind::list) move(s.columns);
    }
    for (PartRecord& p : d.parts) {
      for (uint32_t& plane : p.planes) move(plane);
      for (uint32_t* i : {&p.scales, &p.row_factors, &p.zeros, &p.column_factors, &p.row_sums})
        move(*i);
    }
    for (TensorRecord& t : d.tensors)
      for (uint32_t* i :
           {&t.bias, &t.low_rank_a, &t.low_rank_b, &t.low_rank_a_scales, &t.low_rank_b_scales})
        move(*i);
    d.components = std::move(kept);
  }

  /// Another encoding, another shape, column factors: with components to match.
  void directory(Pieces& pieces) {
    Piece* tdir = pieces.find(SectionKind::tdir);
    if (tdir == nullptr) return;
    auto d = find_directory(*tdir);
    if (!d || d->tensors.empty() || d->parts.empty()) return;
    switch (below(4)) {
      case 0:
      case 1: {
        if (d->encodings.empty()) return;
        const size_t which = below(d->encodings.size());
        d->encodings[which] = new_encoding();
        for (PartRecord& p : d->parts)
          if (p.encoding == which) connect(*d, p);
        break;
      }
      case 2: {
        TensorRecord& t = d->tensors[below(d->tensors.size())];
        t.rank = static_cast<uint8_t>(1 + below(3));
        constexpr std::array<uint64_t, 9> kSizes = {1, 2, 15, 16, 17, 32, 48, 65, 160};
        for (size_t i = 0; i < kMaxRank; i++)
          t.shape[i] = i >= t.rank ? 0 : kSizes[below(i == 0 ? 5 : kSizes.size())];
        if (t.input != kNone && t.input < d->inputs.size() && chance(80))
          t.shape[t.rank - 1u] = d->inputs[t.input].columns;
        break;
      }
      default: {
        PartRecord& p = d->parts[below(d->parts.size())];
        uint32_t& index = chance(50) ? p.column_factors : p.row_sums;
        index = index == kNone ? static_cast<uint32_t>(d->components.size()) : kNone;
        if (index != kNone) d->components.push_back({});
      }
    }
    compact(*d);
    constexpr uint64_t kMaxData = 16384;
    relayout(pieces, *std::move(d), kMaxData);
  }

  void sections(Pieces& pieces) {
    auto& all = pieces.sections;
    constexpr std::array<SectionKind, 9> kKinds = {
        SectionKind::meta, SectionKind::encv, SectionKind::tokn,
        SectionKind::tokb, SectionKind::tmpl, SectionKind::calb,
        SectionKind::licn, SectionKind::chks, SectionKind{fourcc("XTRA")}};
    const auto at = [&](size_t i) { return all.begin() + static_cast<ptrdiff_t>(i); };
    switch (below(4)) {
      case 0:
        all.erase(at(below(all.size())));
        if (all.empty()) all.emplace_back();
        return;
      case 1:
        return std::swap(all[below(all.size())], all[below(all.size())]);
      case 2:
        all[below(all.size())].record.kind = kKinds[below(kKinds.size())];
        return;
      default: {
        Piece piece = all[below(all.size())];
        piece.record.kind = kKinds[below(kKinds.size())];
        all.insert(at(below(all.size())), std::move(piece));
      }
    }
  }

  void compression(Pieces& pieces) {
    Piece& piece = pieces.sections[below(pieces.sections.size())];
    if (piece.bytes.size() > max_size_ || (!is_compressible(piece.record.kind) && chance(90)))
      return;
    const std::string_view text(reinterpret_cast<const char*>(piece.bytes.data()),
                                piece.bytes.size());
    std::string changed;
    if ((piece.record.flags & section_compressed) == 0) {
      changed = compress_frame(text);
    } else if (piece.record.raw_size <= max_size_) {
      auto raw = decompress_frame(piece.bytes, piece.record.raw_size, "");
      if (!raw) return;
      changed = *std::move(raw);
    }
    piece.record.flags ^= section_compressed;
    piece.record.codec = (piece.record.flags & section_compressed) != 0;
    const auto view = std::as_bytes(std::span(changed));
    piece.bytes.assign(view.begin(), view.end());
  }

  void content(Pieces& pieces, bool may_grow) {
    Piece& piece = pieces.sections[below(pieces.sections.size())];
    constexpr size_t kGrowth = 256;
    piece.bytes = any_bytes(std::move(piece.bytes), piece.bytes.size() + (may_grow ? kGrowth : 0));
  }

  std::minstd_rand random_;
  size_t max_size_;
};

}  // namespace
}  // namespace sqf

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned seed) {
  const auto bytes = std::as_bytes(std::span(data, size));
  sqf::Mutator mutator(seed, max_size);
  sqf::Bytes mutated;
  // One that grew too large would be cut, and refused for that.
  for (int attempt = 0; attempt < 4; attempt++) {
    mutated = mutator.run({bytes.begin(), bytes.end()});
    if (mutated.size() <= max_size) break;
  }
  const size_t kept = std::min(mutated.size(), max_size);
  if (kept > 0) std::memcpy(data, mutated.data(), kept);
  return kept;
}

#include "format/test_vectors.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "format/codes.hpp"
#include "format/directory.hpp"
#include "format/part.hpp"
#include "format/rules.hpp"
#include "format/scalar.hpp"

namespace sqf {
namespace {

constexpr uint64_t kAlign = 64;

/// One block of a vector: a component, or the expected values.
struct Block {
  uint64_t offset = 0, size = 0;  ///< from the start of the section
};

/// Where the blocks of one encoding's vector stand.
struct Layout {
  int64_t columns = 0;
  std::array<Block, kMaxPlanes> planes = {};
  Block scales, row_factors, zeros, expected;
};

Layout lay_out(const EncodingRecord& e, uint64_t& end) {
  Layout layout;
  layout.columns = test_vector_columns(e);
  const auto columns = static_cast<uint64_t>(layout.columns);
  const auto place = [&](uint64_t size) {
    const uint64_t offset = (end + kAlign - 1) / kAlign * kAlign;
    end = offset + size;
    return Block{offset, size};
  };
  for (int i = 0; i < (e.grid == Grid::real ? 1 : e.plane_count); i++)
    layout.planes[static_cast<size_t>(i)] =
        place(component_bytes(plane_shape(e, i, 1, kTileRows, columns)));
  if (e.scale_type != Element::none)
    layout.scales = place(component_bytes(scale_shape(e, 1, kTileRows, columns)));
  if (e.row_factor != 0)
    layout.row_factors = place(component_bytes(row_factor_shape(1, kTileRows)));
  if (e.zero >= ZeroKind::u4)
    layout.zeros = place(component_bytes(zero_shape(e, 1, kTileRows, columns)));
  layout.expected = place(kTileRows * columns * sizeof(float));
  return layout;
}

PartView view(const EncodingRecord& e, const Layout& layout, const std::byte* section) {
  PartView part;
  part.encoding = e;
  part.rows = kTileRows;
  part.columns = layout.columns;
  for (size_t i = 0; i < kMaxPlanes; i++) part.planes[i] = section + layout.planes[i].offset;
  part.scales = section + layout.scales.offset;
  part.row_factors = reinterpret_cast<const float*>(section + layout.row_factors.offset);
  part.zeros = section + layout.zeros.offset;
  return part;
}

/// A small generator with a fixed sequence (SplitMix64).
class Sequence {
 public:
  uint32_t below(uint32_t limit) {
    state_ += 0x9e3779b97f4a7c15u;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return static_cast<uint32_t>((z ^ (z >> 31)) >> 32) % limit;
  }
  /// Both signs, and few enough bits of significand for every floating type there is.
  float number() {
    const float size =
        std::ldexp(1.0f + static_cast<float>(below(8)) / 8, -static_cast<int>(below(5)));
    return below(2) != 0 ? -size : size;
  }

 private:
  uint64_t state_ = 0;
};

void put_number(Element type, float value, std::byte* to) {
  const auto put = [&](auto bits) { std::memcpy(to, &bits, sizeof bits); };
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  switch (type) {
    case Element::f32:
      put(bits);
      break;
    case Element::f16:
      put(f32_to_f16(value));
      break;
    case Element::bf16:
      put(static_cast<uint16_t>(bits >> 16));
      break;
    case Element::e8m0:
      put(static_cast<uint8_t>(bits >> 23));
      break;
    case Element::e4m3:  // exact: the significand has three bits, the exponent is moderate
      put(static_cast<uint8_t>((bits >> 24 & 0x80) | ((bits >> 20 & 0x7ff) - (120u << 3))));
      break;
    default:
      put(static_cast<uint8_t>(std::fabs(value) * 16));
      break;
  }
}

void fill_numbers(Element type, std::span<std::byte> block, Sequence& sequence) {
  const auto width = static_cast<size_t>(element_bits(type) / 8);
  for (size_t at = 0; at < block.size(); at += width)
    put_number(type, sequence.number(), block.data() + at);
}

void fill_codes(const EncodingRecord& e, const Layout& layout, std::byte* section,
                Sequence& sequence) {
  std::vector<uint8_t> codes(static_cast<size_t>(layout.columns * kTileRows));
  for (uint8_t& code : codes) {
    do {
      code = static_cast<uint8_t>(sequence.below(code_count(e)));
    } while (!code_has_value(e, code));
  }
  std::array<std::byte*, kMaxPlanes> planes = {};
  for (size_t i = 0; i < e.plane_count; i++) planes[i] = section + layout.planes[i].offset;
  pack_lanes(e, layout.columns, 0, codes.data(), planes);
}

void fill_values(const EncodingRecord& e, const Layout& layout, std::byte* section,
                 Sequence& sequence) {
  const auto width = static_cast<size_t>(element_bits(e.value_type) / 8);
  const ValueLayout places(e.value_type, kTileRows, layout.columns);
  std::byte* values = section + layout.planes[0].offset;
  for (int64_t row = 0; row < kTileRows; row++)
    for (int64_t k = 0; k < layout.columns; k++)
      fill_numbers(e.value_type, {values + places.offset(row, k), width}, sequence);
}

void fill(const EncodingRecord& e, const Layout& layout, std::byte* section) {
  Sequence sequence;
  const auto block = [&](const Block& b) { return std::span(section + b.offset, b.size); };
  if (e.grid == Grid::real)
    fill_values(e, layout, section, sequence);
  else
    fill_codes(e, layout, section, sequence);
  fill_numbers(e.scale_type == Element::none ? Element::f32 : e.scale_type, block(layout.scales),
               sequence);
  fill_numbers(Element::f32, block(layout.row_factors), sequence);
  if (e.zero == ZeroKind::minimum_f16)
    fill_numbers(Element::f16, block(layout.zeros), sequence);
  else
    for (std::byte& b : block(layout.zeros)) b = static_cast<std::byte>(sequence.below(256));
  std::vector<float> values(static_cast<size_t>(layout.columns * kTileRows));
  decode_tile(view(e, layout, section), 0, values.data());
  std::memcpy(section + layout.expected.offset, values.data(), layout.expected.size);
}

std::vector<Layout> lay_out_all(std::span<const EncodingRecord> encodings, uint64_t& end) {
  std::vector<Layout> layouts;
  for (const EncodingRecord& e : encodings) layouts.push_back(lay_out(e, end));
  return layouts;
}

bool is_zero(std::span<const std::byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

/// The gaps before the blocks of one vector are zero; `end` moves behind it.
bool gaps_are_zero(const Layout& layout, std::span<const std::byte> section, uint64_t& end) {
  bool zero = true;
  const auto behind = [&](const Block& b) {
    if (b.size == 0) return;
    zero &= is_zero(section.subspan(end, b.offset - end));
    end = b.offset + b.size;
  };
  for (const Block& plane : layout.planes) behind(plane);
  for (const Block& b : {layout.scales, layout.row_factors, layout.zeros, layout.expected})
    behind(b);
  return zero;
}

bool codes_have_values(const PartView& part) {
  if (all_codes_have_values(part.encoding)) return true;
  std::vector<uint8_t> codes(static_cast<size_t>(part.columns * kTileRows));
  unpack_tile(part, 0, codes.data());
  return std::all_of(codes.begin(), codes.end(),
                     [&](uint8_t code) { return code_has_value(part.encoding, code); });
}

}  // namespace

int64_t test_vector_columns(const EncodingRecord& e) {
  return e.group == 0 ? 36 : std::min<int64_t>(2 * int64_t{e.group} + 4, 260);
}

std::string make_test_vectors(std::span<const EncodingRecord> encodings) {
  uint64_t size = 0;
  const auto layouts = lay_out_all(encodings, size);
  std::string section(size, '\0');
  for (size_t i = 0; i < encodings.size(); i++)
    fill(encodings[i], layouts[i], reinterpret_cast<std::byte*>(section.data()));
  return section;
}

void check_test_vectors(std::span<const std::byte> section,
                        std::span<const EncodingRecord> encodings, Findings& findings) {
  uint64_t size = 0;
  const auto layouts = lay_out_all(encodings, size);
  if (section.size() != size)
    return findings.add(
        broken(Rule::test_vector_size,
               std::to_string(section.size()) + " bytes, expected " + std::to_string(size))
            .values(std::to_string(size), std::to_string(section.size())));
  uint64_t end = 0;
  std::vector<float> values;
  for (size_t i = 0; i < encodings.size() && !findings.full(); i++) {
    const Layout& layout = layouts[i];
    if (!gaps_are_zero(layout, section, end)) {
      findings.add(broken(Rule::test_vector_size, "bytes between the blocks of encoding " +
                                                      std::to_string(i) + " are not zero"));
      continue;
    }
    values.resize(static_cast<size_t>(layout.columns * kTileRows));
    decode_tile(view(encodings[i], layout, section.data()), 0, values.data());
    const bool good =
        codes_have_values(view(encodings[i], layout, section.data())) &&
        std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); });
    if (!good || std::memcmp(values.data(), section.data() + layout.expected.offset,
                             layout.expected.size) != 0)
      findings.add(broken(Rule::test_vector_value,
                          "encoding " + std::to_string(i) + ", " + describe(encodings[i])));
  }
}

}  // namespace sqf

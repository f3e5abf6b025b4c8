#include <cmath>
#include <cstring>

#include "format/hash.hpp"
#include "format/rules.hpp"
#include "format/scalar.hpp"
#include "format/text.hpp"
#include "format/validate.hpp"

namespace sqf {
namespace {

std::string text(uint64_t value) {
  return std::to_string(value);
}

float finite_value(Element type, const std::byte* at) {
  uint16_t half = 0;
  float single = 0;
  switch (type) {
    case Element::f32:
      std::memcpy(&single, at, 4);
      return single;
    case Element::f16:
      std::memcpy(&half, at, 2);
      return f16_to_f32(half);
    case Element::bf16:
      std::memcpy(&half, at, 2);
      return bf16_to_f32(half);
    case Element::e8m0:
      return e8m0_to_f32(static_cast<uint8_t>(*at));
    case Element::e4m3:
      return e4m3_to_f32(static_cast<uint8_t>(*at));
    default:
      return 0;
  }
}

bool zero_bytes(std::span<const std::byte> bytes) {
  for (std::byte b : bytes)
    if (b != std::byte{0}) return false;
  return true;
}

class DataCheck {
 public:
  DataCheck(const Head& head, std::span<const std::byte> file, size_t max_findings,
            const ProgressFn& progress)
      : head_(head), file_(file), max_(max_findings), progress_(progress) {}

  std::vector<Error> run() {
    if (leaves() && components() && values()) return std::move(found_);
    return std::move(found_);
  }

 private:
  /// False: enough found.
  bool report(Rule rule, const std::string& what) {
    found_.push_back(broken(rule, what));
    return found_.size() < max_;
  }

  std::span<const std::byte> bytes(uint32_t component) const {
    const ComponentRecord& c = head_.directory.components[component];
    return file_.subspan(c.offset, c.size);
  }

  bool leaves() {
    const auto data = file_.subspan(head_.data_begin());
    const auto stored = head_.section_bytes(SectionKind::chks);
    const uint64_t chunk = head_.chunk_bytes();
    for (uint64_t i = 0; i * chunk < data.size(); i++) {
      uint64_t expected = 0;
      std::memcpy(&expected, stored.data() + i * 8, 8);
      const uint64_t length = std::min(chunk, data.size() - i * chunk);
      if (hash_bytes(data.subspan(i * chunk, length)) != expected &&
          !report(Rule::leaf_hash, "chunk " + text(i) + ", bytes from " +
                                       text(head_.data_begin() + i * chunk) + " on"))
        return false;
      if (progress_ && !progress_(std::min(data.size(), (i + 1) * chunk))) return false;
    }
    return true;
  }

  bool components() {
    uint64_t end = head_.data_begin();
    const auto& all = head_.directory.components;
    for (uint32_t i = 0; i < all.size(); i++) {
      if (!zero_bytes(file_.subspan(end, all[i].offset - end)) &&
          !report(Rule::data_padding, "before component " + text(i) + ", from byte " + text(end)))
        return false;
      if (hash_bytes(bytes(i)) != all[i].hash &&
          !report(Rule::component_hash, "component " + text(i) + owner(i)))
        return false;
      end = all[i].offset + all[i].size;
    }
    return true;
  }

  /// " of tensor ..." for a component; linear, only for messages.
  std::string owner(uint32_t component) const {
    const Directory& d = head_.directory;
    for (const TensorRecord& t : d.tensors) {
      bool mine = t.bias == component || t.low_rank_a == component || t.low_rank_b == component;
      for (uint32_t p = t.part_first; p < t.part_first + t.part_count; p++) {
        const PartRecord& part = d.parts[p];
        for (uint32_t plane : part.planes) mine |= plane == component;
        mine |= part.scales == component || part.zeros == component ||
                part.row_factors == component || part.row_sums == component;
      }
      if (mine) return " of tensor " + in_quotes(d.name(t));
    }
    return "";
  }

  bool values() {
    const Directory& d = head_.directory;
    for (const TensorRecord& t : d.tensors) {
      const MatrixShape m = matrix_shape(t);
      const std::string name = in_quotes(d.name(t));
      for (uint32_t p = t.part_first; p < t.part_first + t.part_count; p++) {
        const PartRecord& part = d.parts[p];
        for (uint64_t expert = 0; expert < m.experts; expert++)
          if (!matrix(part_view(head_, file_, t, part, expert), name)) return false;
      }
      if (t.bias != kNone && !finite(Rule::real_value, t.bias, name + " bias")) return false;
    }
    for (const InputRecord& in : d.inputs) {
      if (in.smooth != kNone && !finite(Rule::real_value, in.smooth, "smoothing vector"))
        return false;
      for (uint32_t s = 0; s < in.set_count; s++)
        if (in.sets[s].kind == ColumnKind::list && !columns(in, in.sets[s])) return false;
    }
    return true;
  }

  bool finite(Rule rule, uint32_t component, const std::string& where) {
    const ComponentRecord& c = head_.directory.components[component];
    const auto width = static_cast<size_t>(element_bits(c.element) / 8);
    const auto data = bytes(component);
    for (size_t i = 0; i + width <= data.size(); i += width)
      if (!std::isfinite(finite_value(c.element, data.data() + i)))
        return report(rule, where + ", element " + text(i / width) + " is not finite");
    return true;
  }

  bool columns(const InputRecord& in, const ColumnSetRecord& set) {
    const auto list = bytes(set.columns);
    uint64_t next = 0;
    for (uint64_t i = 0; i < set.count; i++) {
      uint32_t column = 0;
      std::memcpy(&column, list.data() + i * 4, 4);
      if (column < next || column >= in.columns)
        return report(Rule::column_list, "entry " + text(i) + " is " + text(column));
      next = uint64_t{column} + 1;
    }
    return true;
  }

  bool matrix(const PartView& part, const std::string& name) {
    if (part.encoding.grid == Grid::real) return real_matrix(part, name);
    for (int plane = 0; plane < part.encoding.plane_count; plane++)
      if (!code_plane(part, static_cast<size_t>(plane), name)) return false;
    return group_values(part, name);
  }

  bool real_matrix(const PartView& part, const std::string& name) {
    const auto width = static_cast<size_t>(element_bits(part.encoding.value_type) / 8);
    const auto columns = static_cast<size_t>(part.columns);
    const size_t stride = (columns * width + 63) / 64 * 64;
    for (size_t row = 0; row < static_cast<size_t>(part.rows); row++) {
      const std::byte* base = part.planes[0] + row * stride;
      for (size_t i = 0; i < columns; i++)
        if (!std::isfinite(finite_value(part.encoding.value_type, base + i * width)))
          return report(Rule::real_value, name + " row " + text(row) + " column " + text(i));
      if (!zero_bytes({base + columns * width, stride - columns * width}))
        return report(Rule::code_padding, name + " after row " + text(row));
    }
    return true;
  }

  bool code_plane(const PartView& part, size_t plane, const std::string& name) {
    const uint32_t radix = part.encoding.radices[plane];
    const uint32_t digits = static_cast<uint32_t>(digits_per_byte(radix));
    const int64_t words = words_per_row(part.encoding, radix, part.columns);
    const std::byte* base = part.planes[plane];
    const int64_t tiles = tiles_of(part.rows);
    if (radix == 3 || radix == 5) {
      const uint32_t limit = radix == 3 ? 243 : 125;
      for (int64_t i = 0; i < tiles * words * kTileRows * 4; i++)
        if (static_cast<uint32_t>(base[i]) >= limit)
          return report(Rule::digit_string,
                        name + " plane " + text(plane) + " byte " + text(static_cast<uint64_t>(i)));
    }
    const Grouping groups = grouping(part.encoding, part.columns);
    for (int64_t tile = 0; tile < tiles; tile++) {
      const std::byte* tile_base = base + tile * words * kTileRows * 4;
      const int64_t real_rows = std::min<int64_t>(kTileRows, part.rows - tile * kTileRows);
      for (int64_t word = 0; real_rows < kTileRows && word < words; word++)
        if (!zero_bytes({tile_base + (word * kTileRows + real_rows) * 4,
                         static_cast<size_t>((kTileRows - real_rows) * 4)}))
          return report(Rule::code_padding, name + " plane " + text(plane) + ", padding rows");
      int64_t first = 0;
      for (int64_t g = 0; g < groups.count; g++) {
        const int64_t slots = group_slots(radix, groups.size(g));
        for (int64_t slot = groups.size(g); slot < slots; slot++)
          if (!padding_slot(tile_base, first * 4 * digits + slot, radix, digits))
            return report(Rule::code_padding, name + " plane " + text(plane) + ", end of group " +
                                                  text(static_cast<uint64_t>(g)));
        first += slots / (4 * digits);
      }
    }
    return true;
  }

  /// Whether the digit of padding column `slot` (counted in slots of the whole row) is 0 in all
  /// rows.
  static bool padding_slot(const std::byte* tile, int64_t slot, uint32_t radix, uint32_t digits) {
    const int64_t per_word = 4 * static_cast<int64_t>(digits), in_word = slot % per_word;
    uint32_t divisor = 1;
    for (int64_t i = 0; i < in_word / 4; i++) divisor *= radix;
    const std::byte* byte = tile + slot / per_word * kTileRows * 4 + in_word % 4;
    for (int64_t row = 0; row < kTileRows; row++)
      if (static_cast<uint32_t>(byte[row * 4]) / divisor % radix != 0) return false;
    return true;
  }

  bool group_values(const PartView& part, const std::string& name) {
    const EncodingRecord& e = part.encoding;
    const int64_t groups = grouping(e, part.columns).count;
    const int64_t scale_width = element_bits(e.scale_type) / 8;
    for (int64_t row = 0; row < tiles_of(part.rows) * kTileRows; row++) {
      const bool padding = row >= part.rows;
      if (e.row_factor != 0) {
        const float factor = part.row_factors[row];
        if (!std::isfinite(factor) || (padding && factor != 0))
          return report(Rule::scale_value,
                        name + " row factor " + text(static_cast<uint64_t>(row)));
      }
      for (int64_t g = 0; g < groups; g++) {
        const int64_t at = (row / kTileRows * groups + g) * kTileRows + row % kTileRows;
        const std::byte* scale = part.scales + at * scale_width;
        const GroupParameters p = group_parameters(part, row, g);
        const auto where = [&] {
          return name + " row " + text(static_cast<uint64_t>(row)) + " group " +
                 text(static_cast<uint64_t>(g));
        };
        if (!std::isfinite(finite_value(e.scale_type, scale)) || !std::isfinite(p.scale) ||
            !std::isfinite(p.minimum))
          return report(Rule::scale_value, where());
        if (padding && (!zero_bytes({scale, static_cast<size_t>(scale_width)}) || p.minimum != 0 ||
                        (p.zero != 0 && e.zero != ZeroKind::constant)))
          return report(Rule::code_padding, where() + ", a padding row");
      }
    }
    return true;
  }

  const Head& head_;
  std::span<const std::byte> file_;
  size_t max_;
  const ProgressFn& progress_;
  std::vector<Error> found_;
};

}  // namespace

std::vector<Error> validate_data(const Head& head, std::span<const std::byte> file,
                                 size_t max_findings, const ProgressFn& progress) {
  return DataCheck(head, file, max_findings, progress).run();
}

PartView part_view(const Head& head, std::span<const std::byte> file, const TensorRecord& tensor,
                   const PartRecord& part, uint64_t expert) {
  const Directory& d = head.directory;
  const MatrixShape m = matrix_shape(tensor);
  PartView view;
  view.encoding = d.encodings[part.encoding];
  view.rows = static_cast<int64_t>(m.rows);
  view.columns = static_cast<int64_t>(part_columns(d, tensor, part));
  const auto slice = [&](uint32_t component) -> const std::byte* {
    if (component == kNone) return nullptr;
    const ComponentRecord& c = d.components[component];
    return file.data() + c.offset + c.size / m.experts * expert;
  };
  for (size_t i = 0; i < kMaxPlanes; i++) view.planes[i] = slice(part.planes[i]);
  view.scales = slice(part.scales);
  view.row_factors = reinterpret_cast<const float*>(slice(part.row_factors));
  view.zeros = slice(part.zeros);
  return view;
}

}  // namespace sqf

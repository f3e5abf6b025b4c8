// Rules R601 to R607: padding that is zero, digits and codes that stand for something, numbers
// that are finite, lists that ascend. Each check names the first break it meets.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <vector>

#include "format/codes.hpp"
#include "format/rules.hpp"
#include "format/scalar.hpp"
#include "format/text.hpp"
#include "format/validate.hpp"

namespace sqf {
namespace {

bool is_zero(const std::byte* bytes, size_t count) {
  return std::all_of(bytes, bytes + count, [](std::byte b) { return b == std::byte{0}; });
}

/// The numbers of an element type that may be stored in a file; integers are finite.
bool is_finite(Element type, const std::byte* at) {
  switch (type) {
    case Element::f32:
      return std::isfinite(load<float>(at));
    case Element::f16:
      return (load<uint16_t>(at) & 0x7c00) != 0x7c00;
    case Element::bf16:
      return (load<uint16_t>(at) & 0x7f80) != 0x7f80;
    case Element::e8m0:
      return load<uint8_t>(at) != 0xff;
    case Element::e4m3:
      return (load<uint8_t>(at) & 0x7f) != 0x7f;
    default:
      return true;
  }
}

/// Checks of one tensor; each adds one finding at most.
class TensorValues {
 public:
  TensorValues(const Head& head, std::span<const std::byte> file, const TensorRecord& tensor,
               Findings& findings)
      : head_(head),
        file_(file),
        tensor_(tensor),
        m_(matrix_shape(tensor)),
        name_(head.directory.name(tensor)),
        findings_(findings) {}

  void run() {
    const Directory& d = head_.directory;
    for (uint32_t p = tensor_.part_first; p < tensor_.part_first + tensor_.part_count; p++) {
      const PartRecord& record = d.parts[p];
      for (uint64_t expert = 0; expert < m_.experts && !findings_.full(); expert++) {
        const PartView part = part_view(head_, file_, tensor_, record, expert);
        if (part.encoding.grid == Grid::real)
          real_rows(part.planes[0], part.encoding.value_type, part.rows, part.columns, "");
        else
          coded(part);
      }
      if (record.column_factors != kNone)
        finite_vector(Rule::scale_value, record.column_factors, " column factors");
      for (uint64_t expert = 0; expert < m_.experts && record.row_sums != kNone; expert++)
        row_sums(part_view(head_, file_, tensor_, record, expert), record.row_sums, expert);
    }
    if (tensor_.bias != kNone) finite_vector(Rule::real_value, tensor_.bias, " bias");
    if (tensor_.rank_pair != 0) low_rank();
  }

 private:
  void report(Rule rule, const std::string& what, const std::byte* at) {
    findings_.add(broken(rule, in_quotes(name_) + what)
                      .of(name_)
                      .at(static_cast<uint64_t>(at - file_.data())));
  }

  void finite_vector(Rule rule, uint32_t component, const char* what) {
    const ComponentRecord& c = head_.directory.components[component];
    const std::byte* base = file_.data() + c.offset;
    const int64_t width = element_bits(c.element) / 8;
    for (int64_t i = 0; i < static_cast<int64_t>(c.size) / width; i++)
      if (!is_finite(c.element, base + i * width))
        return report(rule, std::string(what) + ", element " + decimal(i) + " is not finite",
                      base + i * width);
  }

  /// One matrix in its packing: finite, and zero to the end of its words and tiles.
  void real_rows(const std::byte* base, Element type, int64_t rows, int64_t columns,
                 const char* what) {
    const ValueLayout layout(type, rows, columns);
    // A row alone has no padding, its last word may not even be whole.
    const int64_t stored_rows = rows == 1 ? 1 : tiles_of(rows) * kTileRows;
    const int64_t stored = rows == 1 ? columns : layout.words * 4 / layout.width;
    for (int64_t row = 0; row < stored_rows; row++) {
      const auto where = [&] { return std::string(what) + " row " + decimal(row); };
      for (int64_t i = 0; i < columns; i++)
        if (const std::byte* at = base + layout.offset(row, i); !is_finite(type, at))
          return report(Rule::real_value, where() + " column " + decimal(i), at);
      for (int64_t i = row < rows ? columns : 0; i < stored; i++)
        if (const std::byte* at = base + layout.offset(row, i);
            !is_zero(at, static_cast<size_t>(layout.width)))
          return report(Rule::code_padding, where() + ", padding", at);
    }
  }

  void coded(const PartView& part) {
    for (size_t plane = 0; plane < part.encoding.plane_count; plane++) code_plane(part, plane);
    if (!all_codes_have_values(part.encoding)) codes(part);
    group_values(part);
  }

  void code_plane(const PartView& part, size_t plane) {
    const uint32_t radix = part.encoding.radices[plane];
    const std::byte* base = part.planes[plane];
    const int64_t words = words_per_row(part.encoding, radix, part.columns);
    const int64_t tiles = tiles_of(part.rows), tile_bytes = words * kTileRows * 4;
    if (radix == 3 || radix == 5) {
      const auto limit = static_cast<std::byte>(radix == 3 ? 243 : 125);
      for (int64_t i = 0; i < tiles * tile_bytes; i++)
        if (base[i] >= limit)
          return report(Rule::digit_string, " plane " + decimal(static_cast<int64_t>(plane)),
                        base + i);
    }
    const int64_t real_rows = part.rows - (tiles - 1) * kTileRows;  // in the last tile
    const std::byte* last = base + (tiles - 1) * tile_bytes;
    for (int64_t word = 0; real_rows < kTileRows && word < words; word++) {
      const std::byte* at = last + (word * kTileRows + real_rows) * 4;
      if (!is_zero(at, static_cast<size_t>((kTileRows - real_rows) * 4)))
        return report(Rule::code_padding,
                      " plane " + decimal(static_cast<int64_t>(plane)) + ", padding rows", at);
    }
    for (int64_t tile = 0; tile < tiles; tile++)
      if (const std::byte* at = group_end(part, radix, base + tile * tile_bytes))
        return report(Rule::code_padding,
                      " plane " + decimal(static_cast<int64_t>(plane)) + ", the end of a group",
                      at);
  }

  /// The first nonzero digit behind a group's columns in one tile of a plane; null if there is
  /// none.
  static const std::byte* group_end(const PartView& part, uint32_t radix, const std::byte* tile) {
    const int64_t per_word = 4 * digits_per_byte(radix);
    const Grouping groups = grouping(part.encoding, part.columns);
    int64_t first = 0;  // slot of the group in its row
    for (int64_t g = 0; g < groups.count; g++) {
      const int64_t slots = group_slots(radix, groups.size(g));
      for (int64_t slot = groups.size(g); slot < slots; slot++) {
        const int64_t in_row = first + slot, in_word = in_row % per_word;
        uint32_t divisor = 1;
        for (int64_t i = 0; i < in_word / 4; i++) divisor *= radix;
        const std::byte* byte = tile + in_row / per_word * kTileRows * 4 + in_word % 4;
        for (int64_t row = 0; row < kTileRows; row++)
          if (static_cast<uint32_t>(byte[row * 4]) / divisor % radix != 0) return byte + row * 4;
      }
      first += slots;
    }
    return nullptr;
  }

  void codes(const PartView& part) {
    std::vector<uint8_t> tile(static_cast<size_t>(kTileRows * part.columns));
    for (int64_t t = 0; t < tiles_of(part.rows); t++) {
      unpack_tile(part, t, tile.data());
      for (size_t i = 0; i < tile.size(); i++)
        if (!code_has_value(part.encoding, tile[i]))
          return report(Rule::digit_string,
                        " row " + decimal(t * kTileRows + static_cast<int64_t>(i) / part.columns) +
                            ": code " + decimal(tile[i]) + " has no value",
                        part.planes[0]);
    }
  }

  void group_values(const PartView& part) {
    const EncodingRecord& e = part.encoding;
    const int64_t groups = grouping(e, part.columns).count;
    const int64_t scale_width = element_bits(e.scale_type) / 8;
    for (int64_t row = 0; row < tiles_of(part.rows) * kTileRows; row++) {
      const bool padding = row >= part.rows;
      if (e.row_factor != 0) {
        const auto* at = reinterpret_cast<const std::byte*>(part.row_factors + row);
        if (!is_finite(Element::f32, at))
          return report(Rule::scale_value, " row factor " + decimal(row), at);
        if (padding && !is_zero(at, 4))
          return report(Rule::code_padding, " row factor " + decimal(row), at);
      }
      for (int64_t g = 0; g < groups; g++) {
        const int64_t tile_group = row / kTileRows * groups + g;
        const std::byte* scale =
            part.scales + (tile_group * kTileRows + row % kTileRows) * scale_width;
        const auto where = [&] { return " row " + decimal(row) + " group " + decimal(g); };
        if (!is_finite(e.scale_type, scale)) return report(Rule::scale_value, where(), scale);
        if (e.zero == ZeroKind::minimum_f16 &&
            !is_finite(Element::f16, zero_at(part, tile_group, row)))
          return report(Rule::scale_value, where(), zero_at(part, tile_group, row));
        if (e.row_factor != 0 && !std::isfinite(group_parameters(part, row, g).scale))
          return report(Rule::scale_value, where() + ", with its row factor", scale);
        if (padding && (!is_zero(scale, static_cast<size_t>(scale_width)) ||
                        !zero_is_blank(part, tile_group, row)))
          return report(Rule::code_padding, where() + ", a padding row", scale);
      }
    }
  }

  static const std::byte* zero_at(const PartView& part, int64_t tile_group, int64_t row) {
    switch (part.encoding.zero) {
      case ZeroKind::u4:
        return part.zeros + tile_group * 8 + row % 8;
      case ZeroKind::u8:
        return part.zeros + tile_group * kTileRows + row % kTileRows;
      default:
        return part.zeros + (tile_group * kTileRows + row % kTileRows) * 2;
    }
  }

  static bool zero_is_blank(const PartView& part, int64_t tile_group, int64_t row) {
    if (part.encoding.zero < ZeroKind::u4) return true;
    const std::byte* at = zero_at(part, tile_group, row);
    if (part.encoding.zero == ZeroKind::u4)
      return (row % kTileRows < 8 ? *at & std::byte{15} : *at >> 4) == std::byte{0};
    return is_zero(at, part.encoding.zero == ZeroKind::minimum_f16 ? 2 : 1);
  }

  void row_sums(const PartView& part, uint32_t component, uint64_t expert) {
    const ComponentRecord& c = head_.directory.components[component];
    const std::byte* stored = file_.data() + c.offset + c.size / m_.experts * expert;
    const Grouping groups = grouping(part.encoding, part.columns);
    const IntegerLevels levels = *integer_levels(part.encoding);
    std::vector<uint8_t> tile(static_cast<size_t>(kTileRows * part.columns));
    for (int64_t t = 0; t < tiles_of(part.rows); t++) {
      unpack_tile(part, t, tile.data());
      for (int64_t g = 0; g < groups.count; g++) {
        for (int64_t lane = 0; lane < kTileRows; lane++) {
          const int64_t row = t * kTileRows + lane;
          const std::byte* at = stored + group_index(groups.count, row, g) * 4;
          int64_t sum = 0;
          if (row < part.rows)
            sum = level_sum(part, levels, tile.data() + lane * part.columns, row, g);
          if (load<int32_t>(at) != sum)
            return report(Rule::row_sum,
                          " row " + decimal(row) + " group " + decimal(g) + " states " +
                              decimal(load<int32_t>(at)) + ", its codes add up to " + decimal(sum),
                          at);
        }
      }
    }
  }

  void low_rank() {
    const auto& components = head_.directory.components;
    for (const uint32_t factor : {tensor_.low_rank_a, tensor_.low_rank_b}) {
      const ComponentRecord& c = components[factor];
      const uint64_t rows = factor == tensor_.low_rank_a ? m_.rows : tensor_.rank_pair;
      for (uint64_t expert = 0; expert < m_.experts && !findings_.full(); expert++)
        real_rows(file_.data() + c.offset + c.size / m_.experts * expert, c.element,
                  static_cast<int64_t>(rows), static_cast<int64_t>(c.cols), " low-rank factor");
    }
    for (const uint32_t scales : {tensor_.low_rank_a_scales, tensor_.low_rank_b_scales})
      if (scales != kNone) finite_vector(Rule::real_value, scales, " low-rank scales");
  }

  const Head& head_;
  std::span<const std::byte> file_;
  const TensorRecord& tensor_;
  MatrixShape m_;
  std::string_view name_;
  Findings& findings_;
};

std::string input_name(size_t index) {
  return "input " + std::to_string(index);
}

std::optional<std::string> smoothing_problem(std::span<const std::byte> vector) {
  for (size_t i = 0; i + 4 <= vector.size(); i += 4) {
    const float value = load<float>(vector.data() + i);
    if (!std::isfinite(value) || value == 0)
      return "smoothing value " + std::to_string(i / 4) + " is " + std::to_string(value);
  }
  return std::nullopt;
}

/// The lists of one input, each ascending; what two of them share would be counted twice.
std::optional<std::string> list_problem(const InputRecord& in,
                                        const std::vector<std::span<const std::byte>>& lists) {
  std::vector<uint32_t> all;
  for (const auto list : lists) {
    uint64_t next = 0;
    for (size_t i = 0; i + 4 <= list.size(); i += 4) {
      const auto column = load<uint32_t>(list.data() + i);
      if (column < next || column >= in.columns)
        return "entry " + std::to_string(i / 4) + " of a list is " + std::to_string(column);
      next = uint64_t{column} + 1;
      if (lists.size() > 1) all.push_back(column);
    }
  }
  std::sort(all.begin(), all.end());
  const auto twice = std::adjacent_find(all.begin(), all.end());
  if (twice != all.end()) return "column " + std::to_string(*twice) + " is in two lists";
  return std::nullopt;
}

}  // namespace

void check_tensor_values(const Head& head, std::span<const std::byte> file,
                         const TensorRecord& tensor, Findings& findings) {
  TensorValues(head, file, tensor, findings).run();
}

void check_input_values(const Head& head, std::span<const std::byte> file, Findings& findings) {
  const Directory& d = head.directory;
  const auto bytes = [&](uint32_t component) {
    return file.subspan(d.components[component].offset, d.components[component].size);
  };
  for (size_t i = 0; i < d.inputs.size() && !findings.full(); i++) {
    const InputRecord& in = d.inputs[i];
    if (in.smooth != kNone)
      if (const auto why = smoothing_problem(bytes(in.smooth)))
        findings.add(broken(Rule::smoothing_value, input_name(i) + ": " + *why)
                         .at(d.components[in.smooth].offset));
    std::vector<std::span<const std::byte>> lists;
    for (uint32_t s = 0; s < in.set_count; s++)
      if (in.sets[s].kind == ColumnKind::list) lists.push_back(bytes(in.sets[s].columns));
    if (const auto why = list_problem(in, lists))
      findings.add(broken(Rule::column_list, input_name(i) + ": " + *why));
  }
}

}  // namespace sqf

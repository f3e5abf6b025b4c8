#include "format/encoding.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "format/codes.hpp"

namespace sqf {
namespace {

uint64_t round_up(uint64_t value, uint64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

uint64_t padded_rows(uint64_t rows) {
  return round_up(rows, kTileRows);
}

bool valid_scale_type(Element type) {
  switch (type) {
    case Element::f32:
    case Element::f16:
    case Element::bf16:
    case Element::e8m0:
    case Element::e4m3:
    case Element::u8:
      return true;
    default:
      return false;
  }
}

using Problem = std::optional<std::string>;

Problem plane_problem(const EncodingRecord& e) {
  uint32_t codes = 1;
  for (size_t i = 0; i < kMaxPlanes; i++) {
    const uint32_t radix = e.radices[i];
    if (i >= e.plane_count) {
      if (radix != 0) return "radix of an unused plane is " + std::to_string(radix);
      continue;
    }
    if (digits_per_byte(radix) == 0) return "unknown radix " + std::to_string(radix);
    if ((radix == 3 || radix == 5) && e.plane_count != 1)
      return "radix " + std::to_string(radix) + " is not the only plane";
    if (i > 0 && radix > e.radices[i - 1]) return "planes are not ordered widest radix first";
    codes *= radix;
    if (codes > 256) return "codes need more than 8 bits";
  }
  return std::nullopt;
}

/// Fields that only one grid has must be zero on the others.
Problem foreign_field_problem(const EncodingRecord& e) {
  if (e.grid != Grid::minifloat && (e.exponent_bits != 0 || e.mantissa_bits != 0 ||
                                    e.exponent_bias != 0 || e.minifloat != MinifloatKind::none))
    return "minifloat fields on another grid";
  if (e.grid == Grid::levels ? e.level_count < 2 || e.level_count > kMaxLevels : e.level_count != 0)
    return "level_count is " + std::to_string(e.level_count);
  for (size_t i = 0; i < kMaxLevels; i++) {
    if (i < e.level_count ? !std::isfinite(e.levels[i]) : std::bit_cast<uint32_t>(e.levels[i]) != 0)
      return "level " + std::to_string(i) + " is not finite, or unused and not zero";
  }
  return std::nullopt;
}

Problem real_problem(const EncodingRecord& e) {
  if (e.value_type != Element::f32 && e.value_type != Element::f16 && e.value_type != Element::bf16)
    return std::string("value type is ") + element_name(e.value_type);
  if (e.plane_count != 0 || e.scale_type != Element::none || e.zero != ZeroKind::none ||
      e.row_factor != 0 || e.group != 0 || e.zero_constant != 0)
    return "planes, scales, zeros or groups on the real grid";
  return std::nullopt;
}

/// What every coded grid shares: a plane, a scale type, a group of whole words.
Problem group_problem(const EncodingRecord& e) {
  if (e.value_type != Element::none) return "value type on a coded grid";
  if (e.plane_count == 0) return "no code plane";
  if (!valid_scale_type(e.scale_type))
    return std::string("scale type is ") + element_name(e.scale_type);
  if (e.group > kMaxGroup) return "group is " + std::to_string(e.group);
  const uint32_t narrowest = e.radices[(e.plane_count - 1u) % kMaxPlanes];
  const bool any_length = narrowest == 3 || narrowest == 5;
  const bool sixteen = e.group == 16 && narrowest >= 16;  // a word holds at most 16 columns
  if (e.group != 0 && !any_length && e.group % 32 != 0 && !sixteen)
    return "group " + std::to_string(e.group) + " is no multiple of 32";
  return std::nullopt;
}

Problem zero_problem(const EncodingRecord& e) {
  const uint32_t codes = code_count(e);
  if (e.zero == ZeroKind::none || e.zero > ZeroKind::minimum_f16)
    return "zero kind " + std::to_string(static_cast<int>(e.zero)) + " on the affine grid";
  if (e.zero == ZeroKind::u4 && codes > 16) return "u4 zeros on codes of more than 4 bits";
  if (e.zero == ZeroKind::constant ? e.zero_constant >= codes : e.zero_constant != 0)
    return "zero constant " + std::to_string(e.zero_constant);
  return std::nullopt;
}

Problem minifloat_problem(const EncodingRecord& e) {
  const int bits = 1 + e.exponent_bits + e.mantissa_bits;
  if (e.exponent_bits < 1 || bits < 3)
    return "minifloat of " + std::to_string(e.exponent_bits) + " exponent and " +
           std::to_string(e.mantissa_bits) + " mantissa bits";
  if (std::uint64_t{code_count(e)} != uint64_t{1} << std::min(bits, 63))  // at most 2^8
    return "minifloat bits differ from the planes'";
  if (e.minifloat != MinifloatKind::saturating && e.minifloat != MinifloatKind::ocp)
    return "unknown minifloat kind";
  // Every code is then an f32 without rounding.
  const int64_t bias = e.exponent_bias;
  if (1 - bias - e.mantissa_bits < -149 || (1 << e.exponent_bits) - 1 - bias > 127)
    return "minifloat bias " + std::to_string(e.exponent_bias) + " leaves the range of f32";
  if (e.minifloat == MinifloatKind::ocp &&
      std::none_of(kOcpFormats.begin(), kOcpFormats.end(), [&](const OcpFormat& f) {
        return f.exponent_bits == e.exponent_bits && f.mantissa_bits == e.mantissa_bits &&
               f.bias == e.exponent_bias;
      }))
    return "no such OCP minifloat";
  return std::nullopt;
}

}  // namespace

Element plane_element(uint32_t radix) {
  switch (radix) {
    case 2:
      return Element::digits2;
    case 3:
      return Element::digits3;
    case 4:
      return Element::digits4;
    case 5:
      return Element::digits5;
    case 16:
      return Element::digits16;
    case 256:
      return Element::digits256;
    default:
      return Element::none;
  }
}

int element_bits(Element element) {
  switch (element) {
    case Element::f32:
    case Element::i32:
    case Element::u32:
      return 32;
    case Element::f16:
    case Element::bf16:
      return 16;
    case Element::e8m0:
    case Element::e4m3:
    case Element::u8:
    case Element::i8:
      return 8;
    case Element::u4:
      return 4;
    default:
      return 0;
  }
}

const char* element_name(Element element) {
  switch (element) {
    case Element::none:
      return "none";
    case Element::f32:
      return "f32";
    case Element::f16:
      return "f16";
    case Element::bf16:
      return "bf16";
    case Element::e8m0:
      return "e8m0";
    case Element::e4m3:
      return "e4m3";
    case Element::u8:
      return "u8";
    case Element::i8:
      return "i8";
    case Element::i32:
      return "i32";
    case Element::u32:
      return "u32";
    case Element::u4:
      return "u4";
    case Element::digits2:
      return "digits2";
    case Element::digits3:
      return "digits3";
    case Element::digits4:
      return "digits4";
    case Element::digits5:
      return "digits5";
    case Element::digits16:
      return "digits16";
    case Element::digits256:
      return "digits256";
  }
  return "unknown";
}

Grouping grouping(const EncodingRecord& encoding, int64_t columns) {
  const int64_t length = encoding.group == 0 ? columns : std::min<int64_t>(encoding.group, columns);
  return {columns, length, (columns + length - 1) / length};
}

int64_t group_slots(uint32_t radix, int64_t length) {
  const int64_t word = 4 * digits_per_byte(radix);
  if (radix == 3 || radix == 5) return (length + word - 1) / word * word;
  if (length == 16 && radix >= 16) return 16;
  return (length + 31) / 32 * 32;
}

int64_t words_per_row(const EncodingRecord& encoding, uint32_t radix, int64_t columns) {
  const Grouping groups = grouping(encoding, columns);
  const int64_t slots = (groups.count - 1) * group_slots(radix, groups.length) +
                        group_slots(radix, groups.size(groups.count - 1));
  return slots / (4 * digits_per_byte(radix));
}

uint32_t code_count(const EncodingRecord& encoding) {
  uint32_t count = 1;
  for (int plane = 0; plane < encoding.plane_count; plane++)
    count *= encoding.radices[static_cast<size_t>(plane)];
  return count;
}

ComponentShape value_shape(Element type, uint64_t experts, uint64_t rows, uint64_t columns) {
  if (rows == 1) return {type, Packing::vector, experts, columns};
  return {type, Packing::tile16_values, experts * padded_rows(rows), columns};
}

ComponentShape plane_shape(const EncodingRecord& encoding, int plane, uint64_t experts,
                           uint64_t rows, uint64_t columns) {
  if (encoding.grid == Grid::real) return value_shape(encoding.value_type, experts, rows, columns);
  const uint32_t radix = encoding.radices[static_cast<size_t>(plane)];
  return {plane_element(radix), Packing::tile16_codes, experts * padded_rows(rows),
          static_cast<uint64_t>(words_per_row(encoding, radix, static_cast<int64_t>(columns)))};
}

ComponentShape scale_shape(const EncodingRecord& encoding, uint64_t experts, uint64_t rows,
                           uint64_t columns) {
  const Grouping groups = grouping(encoding, static_cast<int64_t>(columns));
  return {encoding.scale_type, Packing::tile16_groups, experts * padded_rows(rows),
          static_cast<uint64_t>(groups.count)};
}

ComponentShape zero_shape(const EncodingRecord& encoding, uint64_t experts, uint64_t rows,
                          uint64_t columns) {
  ComponentShape shape = scale_shape(encoding, experts, rows, columns);
  switch (encoding.zero) {
    case ZeroKind::u4:
      shape.element = Element::u4;
      break;
    case ZeroKind::u8:
      shape.element = Element::u8;
      break;
    case ZeroKind::minimum_f16:
      shape.element = Element::f16;
      break;
    default:
      return {};
  }
  return shape;
}

ComponentShape row_factor_shape(uint64_t experts, uint64_t rows) {
  return {Element::f32, Packing::vector, experts * padded_rows(rows), 1};
}

ComponentShape row_sum_shape(const EncodingRecord& encoding, uint64_t experts, uint64_t rows,
                             uint64_t columns) {
  ComponentShape shape = scale_shape(encoding, experts, rows, columns);
  shape.element = Element::i32;
  return shape;
}

uint64_t component_bytes(const ComponentShape& shape) {
  if (shape.packing == Packing::tile16_codes) return shape.rows * shape.cols * 4;
  const uint64_t bits = static_cast<uint64_t>(element_bits(shape.element));
  if (shape.packing == Packing::tile16_values)
    return shape.rows * round_up(shape.cols * bits / 8, 4);
  return shape.rows * shape.cols * bits / 8;
}

std::optional<std::string> encoding_problem(const EncodingRecord& e) {
  for (uint8_t byte : e.reserved)
    if (byte != 0) return "reserved bytes are not zero";
  if (e.grid > Grid::levels) return "unknown grid " + std::to_string(static_cast<int>(e.grid));
  if (e.row_factor > 1) return "row_factor is " + std::to_string(e.row_factor) + ", not 0 or 1";
  if (e.plane_count > kMaxPlanes) return "plane_count is " + std::to_string(e.plane_count);
  if (auto problem = plane_problem(e)) return problem;
  if (auto problem = foreign_field_problem(e)) return problem;
  if (e.grid == Grid::real) return real_problem(e);
  if (auto problem = group_problem(e)) return problem;
  if (e.grid == Grid::affine) return zero_problem(e);
  if (e.zero != ZeroKind::none || e.zero_constant != 0) return "a zero point on a grid without one";
  if (e.grid == Grid::minifloat) return minifloat_problem(e);
  if (e.level_count > code_count(e)) return "more levels than codes";
  if (code_count(e) > kMaxLevels) return "codes that no level table holds";
  return std::nullopt;
}

}  // namespace sqf

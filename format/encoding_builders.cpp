// Makes encoding records, and tells one in words.

#include <algorithm>
#include <array>
#include <bit>
#include <cstdio>

#include "format/encoding.hpp"

namespace sqf {
namespace {

/// Widest radix first: 8 = 256; otherwise the bits of the width, from 16 down to 2.
void add_planes(int bits, EncodingRecord* e) {
  if (bits == 8) e->radices[e->plane_count++] = 256;
  for (int part = 4; part >= 1; part /= 2)
    if (bits & part) e->radices[e->plane_count++] = static_cast<uint16_t>(1u << part);
}

/// Few levels are named, of many the ends: "3 levels -1 0 1", "16 levels -1 to 1".
std::string describe_levels(const EncodingRecord& e) {
  const auto number = [](float level) {
    std::array<char, 32> digits;
    std::snprintf(digits.data(), digits.size(), "%g", static_cast<double>(level));
    return std::string(digits.data());
  };
  std::string text = std::to_string(e.level_count) + " levels";
  if (e.level_count > 5)
    return text + " " + number(e.levels[0]) + " to " + number(e.levels[e.level_count - 1u]);
  for (size_t i = 0; i < e.level_count; i++) text += " " + number(e.levels[i]);
  return text;
}

}  // namespace

EncodingRecord real_encoding(Element type) {
  EncodingRecord e = {};
  e.grid = Grid::real;
  e.value_type = type;
  return e;
}

EncodingRecord affine_encoding(int bits, uint32_t group, Element scale_type, bool row_factor,
                               ZeroKind zero) {
  EncodingRecord e = {};
  e.grid = Grid::affine;
  e.zero = zero;
  e.scale_type = scale_type;
  e.row_factor = row_factor ? 1 : 0;
  e.group = group;
  if (zero == ZeroKind::constant) e.zero_constant = 1u << (bits - 1);
  add_planes(bits, &e);
  return e;
}

EncodingRecord minifloat_encoding(int exponent_bits, int mantissa_bits, MinifloatKind kind,
                                  uint32_t group, Element scale_type, bool row_factor) {
  EncodingRecord e = affine_encoding(1 + exponent_bits + mantissa_bits, group, scale_type,
                                     row_factor, ZeroKind::none);
  e.grid = Grid::minifloat;
  e.minifloat = kind;
  e.exponent_bits = static_cast<uint8_t>(exponent_bits);
  e.mantissa_bits = static_cast<uint8_t>(mantissa_bits);
  e.exponent_bias = (1 << (exponent_bits - 1)) - 1;
  return e;
}

EncodingRecord levels_encoding(std::span<const float> levels, uint32_t group, Element scale_type,
                               bool row_factor) {
  EncodingRecord e = {};
  e.grid = Grid::levels;
  e.scale_type = scale_type;
  e.row_factor = row_factor ? 1 : 0;
  e.group = group;
  e.level_count = static_cast<uint8_t>(levels.size());
  std::copy(levels.begin(), levels.end(), e.levels.begin());
  if (levels.size() == 3 || levels.size() == 5)
    e.radices[e.plane_count++] = e.level_count;
  else
    add_planes(static_cast<int>(std::bit_width(levels.size() - 1)), &e);
  return e;
}

int code_bits(const EncodingRecord& encoding) {
  return static_cast<int>(std::bit_width(code_count(encoding))) - 1;
}

std::string describe(const EncodingRecord& e) {
  if (e.grid == Grid::real) return element_name(e.value_type);
  std::string text;
  switch (e.grid) {
    case Grid::affine:
      text = std::to_string(code_bits(e)) + "-bit " +
             (e.zero == ZeroKind::constant ? "symmetric" : "asymmetric");
      break;
    case Grid::minifloat:
      text =
          "minifloat e" + std::to_string(e.exponent_bits) + "m" + std::to_string(e.mantissa_bits);
      if (e.minifloat == MinifloatKind::ocp) text += " ocp";
      break;
    default:
      text = describe_levels(e);
      break;
  }
  if (e.plane_count > 1 && e.radices[0] == 2) text += " in bit planes";
  text += e.group == 0 ? " row" : " g" + std::to_string(e.group);
  text += std::string(", scale ") + element_name(e.scale_type) + (e.row_factor ? " x row f32" : "");
  constexpr std::array<const char*, 5> kZeros = {"", "", ", zero u4", ", zero u8", ", minimum f16"};
  return text + kZeros[static_cast<size_t>(e.zero)];
}

}  // namespace sqf

#include "format/codes.hpp"

#include <cmath>

#include "format/encoding.hpp"

namespace sqf {
namespace {

struct Fields {
  bool negative;
  uint32_t exponent, mantissa;
};

Fields split(const EncodingRecord& e, uint32_t code) {
  return {(code >> (e.mantissa_bits + e.exponent_bits)) != 0,
          (code >> e.mantissa_bits) & ((1u << e.exponent_bits) - 1),
          code & ((1u << e.mantissa_bits) - 1)};
}

uint32_t significand(const EncodingRecord& e, const Fields& f) {
  return f.exponent == 0 ? f.mantissa : f.mantissa | 1u << e.mantissa_bits;
}

}  // namespace

float minifloat_value(const EncodingRecord& e, uint32_t code) {
  const Fields f = split(e, code);
  const int power =
      static_cast<int>(f.exponent == 0 ? 1 : f.exponent) - e.exponent_bias - e.mantissa_bits;
  const float value = std::ldexp(static_cast<float>(significand(e, f)), power);
  return f.negative ? -value : value;
}

bool code_has_value(const EncodingRecord& e, uint32_t code) {
  if (e.grid == Grid::levels) return code < e.level_count;
  if (e.grid != Grid::minifloat || e.minifloat != MinifloatKind::ocp) return true;
  const Fields f = split(e, code);
  if (e.exponent_bits == 5) return f.exponent != 31;
  if (e.exponent_bits == 4) return f.exponent != 15 || f.mantissa != 7;
  return true;
}

bool all_codes_have_values(const EncodingRecord& e) {
  for (uint32_t code = 0; code < code_count(e); code++)
    if (!code_has_value(e, code)) return false;
  return true;
}

std::optional<IntegerLevels> integer_levels(const EncodingRecord& e) {
  IntegerLevels levels = {};
  for (uint32_t code = 0; code < code_count(e) && code < levels.size(); code++) {
    double level = code;
    if (e.grid == Grid::real) return std::nullopt;
    if (e.grid == Grid::levels) level = static_cast<double>(e.levels[code]);
    if (e.grid == Grid::minifloat) {
      const Fields f = split(e, code);
      // In units of the smallest subnormal.
      level = std::ldexp(significand(e, f), static_cast<int>(f.exponent == 0 ? 0 : f.exponent - 1));
      if (f.negative) level = -level;
    }
    if (e.grid != Grid::affine && (level != std::trunc(level) || level < -128 || level > 127))
      return std::nullopt;
    levels[code] = static_cast<int32_t>(level);
  }
  return levels;
}

}  // namespace sqf

#include "converter/methods/level_grid.hpp"

#include <algorithm>
#include <bit>
#include <cfloat>
#include <cmath>
#include <span>

#include "format/codes.hpp"

namespace sqf {
namespace {

constexpr int kF32Mantissa = 23, kF32Bias = 127;

/// The largest f32 that rounds to the level below the midpoint of two neighbours.
float last_below(float lower, float upper, bool upper_is_even) {
  const double middle = static_cast<double>(lower) / 2 + static_cast<double>(upper) / 2;
  float at = static_cast<float>(middle);
  if (static_cast<double>(at) > middle) at = std::nextafter(at, -FLT_MAX);
  const bool tie = static_cast<double>(at) == middle;
  return tie && upper_is_even ? std::nextafter(at, -FLT_MAX) : at;
}

void set_levels(const EncodingRecord& e, LevelGrid* grid) {
  grid->count = e.level_count;
  for (size_t i = 0; i < e.level_count; i++) {
    grid->values[i] = e.levels[i];
    grid->level[i] = e.levels[i] / grid->unit;
  }
  for (size_t i = 0; i + 1 < e.level_count; i++)
    grid->above[i] = last_below(grid->level[i], grid->level[i + 1], i % 2 == 1);
}

void set_minifloat(const EncodingRecord& e, LevelGrid* grid) {
  const uint32_t sign = 1u << (e.exponent_bits + e.mantissa_bits);
  uint32_t last = sign - 1;  // in each sign, the codes that are numbers run from 0 to this
  while (!code_has_value(e, last)) last--;
  const float top = minifloat_value(e, last);
  for (uint32_t code = 0; code <= last; code++) {
    grid->values[code] = minifloat_value(e, code);
    grid->values[code | sign] = -grid->values[code];
  }
  // Dividing by the unit is a larger bias.
  const int bias = e.exponent_bias + std::ilogb(top);
  grid->minifloat = true;
  grid->mantissa_bits = e.mantissa_bits;
  grid->wide = e.exponent_bits >= 2;
  grid->top = std::ldexp(top, e.exponent_bias - bias);
  grid->step = std::ldexp(1.0f, 1 - bias - e.mantissa_bits);
  grid->inverse_step = std::ldexp(1.0f, bias + e.mantissa_bits - 1);
  grid->least_normal = std::ldexp(1.0f, 1 - bias);
  grid->first_bits = (kF32Bias - bias) << kF32Mantissa;
  grid->shift = kF32Mantissa - e.mantissa_bits;
  grid->sign = static_cast<int32_t>(sign);
}

void set_ends(std::span<const float> values, LevelGrid* grid) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  grid->lowest = *low;
  grid->highest = *high;
  grid->reach = std::max(-*low, *high);
  grid->smallest = FLT_MAX;
  grid->symmetric = true;
  for (const float value : values) {
    if (value == 0) grid->has_zero = true;
    if (value != 0) grid->smallest = std::min(grid->smallest, std::fabs(value));
    grid->symmetric &= std::find(values.begin(), values.end(), -value) != values.end();
  }
  grid->unit = std::ldexp(1.0f, std::ilogb(grid->reach));
}

}  // namespace

std::optional<LevelGrid> level_grid(const EncodingRecord& e) {
  if (e.grid != Grid::minifloat && e.grid != Grid::levels) return std::nullopt;
  LevelGrid grid;
  if (e.grid == Grid::minifloat) {
    set_minifloat(e, &grid);
    set_ends(grid.values, &grid);
  } else {
    set_ends(std::span(e.levels).first(e.level_count), &grid);
    set_levels(e, &grid);
  }
  return grid;
}

}  // namespace sqf

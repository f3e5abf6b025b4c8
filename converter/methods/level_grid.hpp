#pragma once
// The levels of a grid whose codes are no integers (minifloat, levels), made ready for rounding to
// them. Expects an encoding that encoding_problem() has nothing against and whose largest level is
// a normal f32.

#include <array>
#include <cstdint>
#include <optional>

#include "format/layout.hpp"

namespace sqf {

/// Ties go to the level with the even code; -0 and codes that stand for no number are never chosen.
///
/// Weights are divided by the scale times `unit`, a power of two that brings the largest level into
/// [1, 2): then no square overflows, however the grid is biased. A level over `unit` is "its level"
/// below.
struct LevelGrid {
  float unit = 1;
  float lowest = 0, highest = 0;  ///< real: with the unit
  float reach = 0;                ///< real: the largest magnitude
  float smallest = 0;             ///< real: the smallest magnitude but 0
  bool has_zero = false, symmetric = false;
  /// Levels keep halving for an octave or more: a wider scale need not lose precision.
  bool wide = false;

  bool minifloat = false;
  int32_t mantissa_bits = 0;
  // minifloat: sign and magnitude; `top` its level of largest magnitude.
  float top = 0, step = 0, inverse_step = 0;  ///< step: between levels around 0
  float least_normal = 0;
  int32_t first_bits = 0;  ///< of the f32 that is magnitude code 0 continued downwards
  int32_t shift = 0;       ///< f32 mantissa bits that a level does not have
  int32_t sign = 0;        ///< what a negative level adds to its code
  // levels: `above[i]` is the largest f32 that still rounds to level i or a lower one.
  int32_t count = 0;
  std::array<float, kMaxLevels> level = {}, above = {};

  std::array<float, 256> values = {};  ///< real, by code; 0 for codes never chosen
};

/// None for grids of integer codes.
std::optional<LevelGrid> level_grid(const EncodingRecord& encoding);

}  // namespace sqf

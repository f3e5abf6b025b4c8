#pragma once
// The grids a converter can be asked for by name, as data: one row each, in one table. A method
// sees the record alone, never the name, so a new grid is a new row here and nothing elsewhere.

#include <span>
#include <string>
#include <string_view>

#include "format/encoding.hpp"

namespace sqf {

struct NamedGrid {
  std::string name;
  /// Grid, planes and levels. Group, scale and row factor are the caller's to set; of affine, whose
  /// planes follow a width, the grid alone.
  EncodingRecord record = {};
  uint32_t group = 32;  ///< columns per scale where none are asked for
};

/// affine first; every minifloat of 3 to 8 bits, saturating ("e2m1") and, of the five OCP types,
/// with their special codes kept out ("e4m3ocp"); binary, ternary, five, nf4.
std::span<const NamedGrid> named_grids();

/// One of those, or "levels:a/b/c": 2 to 16 ascending numbers. Errors: usage, naming the word.
Result<NamedGrid> find_grid(std::string_view name);

}  // namespace sqf

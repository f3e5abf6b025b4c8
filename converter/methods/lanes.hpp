#pragma once
// Loops over one group of 16 rows at once, weights laid out [column][16 rows]: one lane per row,
// no sum ever crosses lanes, columns are taken in order. So the width of the CPU's registers does
// not show in a result: every set of kernels gives the same bits.

#include <array>
#include <cstdint>
#include <span>

#include "converter/methods/level_grid.hpp"
#include "format/layout.hpp"

namespace sqf {

/// One number per row of the tile.
struct alignas(64) Lanes {
  std::array<float, kTileRows> at = {};

  float& operator[](size_t lane) { return at[lane]; }
  float operator[](size_t lane) const { return at[lane]; }
};

/// What one group's codes mean in each row: w = scale * (code - zero) + minimum, codes 0..top; or,
/// with levels, w = scale * level. A scale of 0 gives the code `zero`, or that of the level nearest
/// to 0.
struct LaneGrid {
  Lanes scale, zero, minimum;
  float top = 0;
  const LevelGrid* levels = nullptr;
};

/// Sums over a group's columns, each weighted, of t = (w - minimum) / scale and of the level
/// p = code - zero that t rounds to. Divided by the scale (with levels: times their unit), so they
/// suit any magnitude.
struct LaneSums {
  Lanes error;  ///< (t - p)^2
  Lanes t, p, tp, pp;
};

/// What encoding lost, in each row, divided by the same squared; 0 where the scale is 0.
struct LaneLoss {
  Lanes error;   ///< sum of (w - decoded)^2, each decoded as the format says
  Lanes energy;  ///< sum of w^2
};

/// x [size][16], weight [size], all for one group.
struct LaneKernels {
  const char* name;
  void (*bounds)(const float* x, int64_t size, Lanes* low, Lanes* high);
  /// The error alone.
  void (*error)(const float* x, const float* weight, int64_t size, const LaneGrid& grid,
                Lanes* error);
  /// Tries the grid's scale times each factor: the least error, in units of the grid's own scale
  /// squared, and the first factor that gives it.
  void (*scan)(const float* x, const float* weight, int64_t size, const LaneGrid& grid,
               std::span<const float> factors, Lanes* error, Lanes* factor);
  void (*sums)(const float* x, const float* weight, int64_t size, const LaneGrid& grid,
               LaneSums* sums);
  /// Codes [size][16], by true division.
  void (*encode)(const float* x, int64_t size, const LaneGrid& grid, uint8_t* codes,
                 LaneLoss* loss);
};

/// All that this CPU can run, the widest last: for integer codes, or for the levels of a grid.
std::span<const LaneKernels> lane_kernels();
std::span<const LaneKernels> lane_kernels(const LevelGrid& levels);

}  // namespace sqf

#pragma once
// The ranges of all groups of one tile, as stored, and what their codes lose. Shared by every
// method that rounds a tile; how it rounds is the method's own.

#include <memory>
#include <vector>

#include "converter/encode.hpp"
#include "converter/methods/range.hpp"

namespace sqf {

/// One tile's weights and how they fall into groups. Stays where it is: grids point into `rules`.
struct Tile {
  /// `x` is the caller's to fill.
  Tile(const EncodingRecord& encoding, int64_t columns, const QuantizeOptions& options);
  Tile(const Tile&) = delete;
  Tile& operator=(const Tile&) = delete;

  LaneGroup group(size_t index) const;

  RangeRules rules;
  Grouping groups;
  const LaneKernels* kernels;
  Range range;
  const float* grams;          ///< Range::clip alone
  std::unique_ptr<float[]> x;  ///< [columns][16]
  std::vector<float> weight;   ///< [columns]; empty for the plain range
};

/// Weights [rows][columns] as [column][16 rows], rows past the last 0.
void transpose(const float* w, int64_t rows, int64_t columns, float* x);

/// Its groups as stored.
struct StoredTile {
  std::vector<StoredGroup> groups;
  Lanes factors;
};
StoredTile store_ranges(const Tile& tile);

/// One group alone, the factors of its rows being given.
StoredGroup store_range(const Tile& tile, const LaneGroup& group, const Lanes& factors);

/// Of one group in one row.
struct Loss {
  double error = 0, energy = 0;
};
/// group.x is what the codes should have been.
Loss loss_of(const LaneGroup& group, const LaneGrid& grid, const uint8_t* codes, size_t lane);

/// Adds all but what is told by row.
void count_group(const StoredGroup& stored, size_t lane, const Loss& loss, QuantizeStats* stats);

}  // namespace sqf

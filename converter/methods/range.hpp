#pragma once
// The range of each group: which scale, zero point and minimum. Sixteen rows at once, in two
// steps, because the factor of a row depends on all its groups: first the range one would like
// (any f32 scale), then the best that can be stored.

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "converter/methods/lanes.hpp"
#include "converter/methods/scale_type.hpp"

namespace sqf {

/// What an encoding allows.
struct RangeRules {
  ScaleType scale_type;
  bool row_factor = false;
  ZeroKind zero = ZeroKind::constant;
  float top = 0;                    ///< largest code that could be written in the planes
  float constant = 0;               ///< zero kind constant: the zero point
  std::optional<LevelGrid> levels;  ///< grids without zero points; outlives what is made from here

  /// A grid without codes' meaning but that of the encoding.
  LaneGrid grid() const;
  /// A scale that search and division can work with.
  bool workable(float scale) const;
};
RangeRules range_rules(const EncodingRecord& encoding);

/// One group of 16 rows: x [size][16], weight [size].
struct LaneGroup {
  const LaneKernels* kernels;
  const float* x;
  const float* weight;  ///< null for the plain range
  int64_t size;
  float weight_sum;
  const float* gram = nullptr;  ///< [size][size] of the inputs, for the clip search alone
};

/// The smallest range that clips nothing, with a scale of any f32; of levels that have no sign of
/// a weight's, the smallest that clips nothing of the other. Levels may take a negative scale where
/// the scale type has one and it is the smaller.
LaneGrid plain_range(const RangeRules& rules, const LaneGroup& group);
/// The same where the weights lie within [low, high].
LaneGrid range_between(const RangeRules& rules, const Lanes& low, const Lanes& high);

/// Starts from the plain range and returns one of no more error.
LaneGrid search_range(const RangeRules& rules, const LaneGroup& group, const LaneGrid& plain);

/// Starts from the plain range and draws both ends in where the group's partial dot products lose
/// less then.
LaneGrid clip_range(const RangeRules& rules, const LaneGroup& group, const LaneGrid& plain);

/// Factors for rows whose largest |scale| in any group is this; 1 where all are 0.
Lanes row_factors(const RangeRules& rules, const Lanes& largest);
/// Multiples of that factor worth trying: where rungs are far apart, it matters where on them the
/// scales of a row fall.
std::span<const float> factor_choices(const RangeRules& rules);

/// A group as stored: `grid` is what the decoder will use, or a scale of 0 where that is too small
/// to divide by.
struct StoredGroup {
  LaneGrid grid;
  std::array<uint32_t, kTileRows> scale_bits = {};
  std::array<uint16_t, kTileRows> minimum_bits = {};
  std::array<bool, kTileRows> saturated = {}, underflowed = {};
  std::array<bool, kTileRows> lifted = {};  ///< nothing stored stands for 0
  Lanes error;  ///< of store_searched: weighted, in units of the plain scale squared
  // Of store_clipped: of partial dot products, of the plain range and of this one.
  std::array<double, kTileRows> unclipped_error = {}, clipped_error = {};
  std::array<bool, kTileRows> clipped = {};
};

/// Puts one lane on a rung (or the next below whose values stay finite). True: on that rung.
bool store_lane(const RangeRules& rules, size_t lane, uint32_t index, bool negative, float zero,
                uint16_t minimum, float factor, StoredGroup* stored);

/// Rounds the plain range to what can be stored without clipping more than the type forces.
StoredGroup store_plain(const RangeRules& rules, const LaneGrid& plain, const Lanes& factors);

/// The best that can be stored near `wanted`; never worse than the stored plain range.
StoredGroup store_searched(const RangeRules& rules, const LaneGroup& group, const LaneGrid& plain,
                           const LaneGrid& wanted, const Lanes& factors);

/// Each lane on the rung nearest to the scale wanted, or `up` above.
StoredGroup store_near(const RangeRules& rules, const LaneGrid& wanted, const Lanes& factors,
                       int up);

/// As store_searched, by what partial dot products lose.
StoredGroup store_clipped(const RangeRules& rules, const LaneGroup& group, const LaneGrid& plain,
                          const LaneGrid& wanted, const Lanes& factors);

}  // namespace sqf

// The clip search of AWQ (Lin et al. 2023): ranges drawn in step by step, each judged by what the
// group's partial dot products lose.
#include <algorithm>
#include <cmath>

#include "converter/methods/gram_error.hpp"
#include "converter/methods/range.hpp"

namespace sqf {
namespace {

// Bounds tried on both ends: 1, 0.95 ... 0.55 of the group's largest weight.
constexpr int kClips = 10;
constexpr float kClipStep = 0.05f;
constexpr int kRefinements = 2;
// A candidate must win by more than what sums can mistake for a gain.
constexpr double kGain = 1 - 0x1p-30;

/// The least error so far in each lane, and the grid that has it.
struct Least {
  LaneGrid grid;
  LaneErrors error;

  /// The lanes in which `candidate` is better and can be worked with.
  uint32_t offer(const RangeRules& rules, const LaneGroup& group, const LaneGrid& candidate) {
    const LaneErrors errors = gram_errors(group, candidate);
    uint32_t taken = 0;
    for (size_t lane = 0; lane < kTileRows; lane++) {
      if (!(errors[lane] < error[lane] * kGain) || !rules.workable(candidate.scale[lane])) continue;
      error[lane] = errors[lane];
      grid.scale[lane] = candidate.scale[lane];
      grid.zero[lane] = candidate.zero[lane];
      grid.minimum[lane] = candidate.minimum[lane];
      taken |= 1u << lane;
    }
    return taken;
  }
};

LaneGrid refitted(const LaneGroup& group, LaneGrid grid) {
  const LaneErrors multiples = best_multiples(group, grid);
  for (size_t lane = 0; lane < kTileRows; lane++)
    grid.scale[lane] = static_cast<float>(static_cast<double>(grid.scale[lane]) * multiples[lane]);
  return grid;
}

}  // namespace

LaneGrid clip_range(const RangeRules& rules, const LaneGroup& group, const LaneGrid& plain) {
  Least least = {plain, gram_errors(group, plain)};
  Lanes low, high;
  group.kernels->bounds(group.x, group.size, &low, &high);
  for (int i = 1; i < kClips; i++) {
    Lanes below = low, above = high;
    for (size_t lane = 0; lane < kTileRows; lane++) {
      const float bound = std::max(std::fabs(low[lane]), std::fabs(high[lane])) *
                          (1 - kClipStep * static_cast<float>(i));
      below[lane] = std::clamp(low[lane], -bound, bound);
      above[lane] = std::clamp(high[lane], -bound, bound);
    }
    least.offer(rules, group, range_between(rules, below, above));
  }
  least.offer(rules, group, search_range(rules, group, plain));
  for (int i = 0; i < kRefinements; i++)
    if (least.offer(rules, group, refitted(group, least.grid)) == 0) break;
  return least.grid;
}

StoredGroup store_clipped(const RangeRules& rules, const LaneGroup& group, const LaneGrid& plain,
                          const LaneGrid& wanted, const Lanes& factors) {
  StoredGroup stored = store_plain(rules, plain, factors);
  stored.unclipped_error = gram_errors(group, stored.grid);
  Least least = {stored.grid, stored.unclipped_error};
  const auto offer = [&](const LaneGrid& from, int up) {
    const StoredGroup candidate = store_near(rules, from, factors, up);
    const uint32_t taken = least.offer(rules, group, candidate.grid);
    for (size_t lane = 0; lane < kTileRows; lane++) {
      if ((taken >> lane & 1u) == 0) continue;
      stored.scale_bits[lane] = candidate.scale_bits[lane];
      stored.minimum_bits[lane] = candidate.minimum_bits[lane];
      stored.saturated[lane] = stored.underflowed[lane] = false;
      stored.clipped[lane] = true;
    }
  };
  offer(wanted, 0);
  if (rules.scale_type.is_coarse()) {
    const LaneGrid from = least.grid;
    for (const int up : {-1, 1}) offer(from, up);
  }
  offer(refitted(group, least.grid), 0);
  stored.grid = least.grid;
  stored.clipped_error = least.error;
  return stored;
}

}  // namespace sqf

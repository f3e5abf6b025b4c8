#include <algorithm>
#include <cfloat>
#include <cmath>
#include <span>

#include "converter/methods/range.hpp"

namespace sqf {
namespace {

// A candidate must win by more than what f32 sums can mistake for a gain.
constexpr float kGain = 1.0f - 0x1p-16f;
// Shrunken ranges tried, as multiples of the plain scale: from a little more than it down, by the
// step that measured best for 1 to 8 bits (fewer codes clip deeper); as many again below while the
// last is the best of some row. Least squares does the rest.
constexpr size_t kSteps = 12;
constexpr float kFirst = 1.06f, kLast = 0.1f;
constexpr std::array<float, 8> kStep = {0.07f, 0.05f, 0.04f, 0.03f, 0.02f, 0.015f, 0.01f, 0.008f};
// With a minimum either end moves by itself: 0 to 4 of these shares of the range, half a step
// between codes but no more than 0.08.
constexpr int kEndSteps = 4;
constexpr float kWidestEndStep = 0.08f;
constexpr int kRefinements = 2, kRoundings = 2;
// Levels that keep halving look the same at half the scale: an octave of scales, from nearly twice
// the plain one, which clips nothing.
constexpr float kOctaveTop = 1.9f;
constexpr size_t kOctaveSteps = 32, kFineOctaveSteps = 96;
constexpr int32_t kFineMantissa = 4;  ///< from so many bits on the finer steps

/// The best grid so far and its error, in units of the plain scale squared.
struct Best {
  LaneGrid grid;
  Lanes error;
  Lanes unit;  ///< the plain scale; 0 where the search keeps out: nothing to gain, or no room
};

float relative(float scale, float unit) {
  return unit > 0 ? scale / unit : 0;
}

bool integer_zero(const RangeRules& rules) {
  return rules.zero == ZeroKind::u4 || rules.zero == ZeroKind::u8;
}

/// What rounding alone makes of weights that the codes hit exactly: nothing to improve on.
Lanes noise_of(const LaneGroup& group, const LaneGrid& grid) {
  Lanes largest, low, high;
  largest.at.fill(grid.top);
  if (grid.levels != nullptr) {
    group.kernels->bounds(group.x, group.size, &low, &high);
    for (size_t lane = 0; lane < kTileRows; lane++)
      largest[lane] = std::max(-low[lane], high[lane]) / grid.levels->unit /
                      std::max(std::fabs(grid.scale[lane]), FLT_MIN);
  }
  Lanes noise;
  for (size_t lane = 0; lane < kTileRows; lane++) {
    const float off = largest[lane] * 0x1p-21f;
    noise[lane] = group.weight_sum * off * off;
  }
  return noise;
}

Best start(const RangeRules& rules, const LaneGroup& group, const LaneGrid& grid,
           const LaneGrid& plain) {
  Best best;
  const Lanes noise = noise_of(group, grid);
  best.grid = grid;
  group.kernels->error(group.x, group.weight, group.size, grid, &best.error);
  for (size_t lane = 0; lane < kTileRows; lane++) {
    best.unit[lane] = rules.workable(plain.scale[lane]) ? std::fabs(plain.scale[lane]) : 0;
    const float r = relative(grid.scale[lane], best.unit[lane]);
    // Stored as 0, every weight is lost: whatever has a scale may replace that.
    best.error[lane] = grid.scale[lane] == 0             ? FLT_MAX
                       : best.error[lane] <= noise[lane] ? 0
                                                         : best.error[lane] * r * r;
  }
  return best;
}

/// Takes the lanes in which `grid`, of this error in its own scale squared, is better.
uint32_t take(const LaneGrid& grid, const Lanes& error, Best* best) {
  uint32_t taken = 0;
  for (size_t lane = 0; lane < kTileRows; lane++) {
    const float r = relative(grid.scale[lane], best->unit[lane]);
    const float e = error[lane] * r * r;
    if (r == 0 || !(e < best->error[lane] * kGain)) continue;
    best->error[lane] = e;
    best->grid.scale[lane] = grid.scale[lane];
    best->grid.zero[lane] = grid.zero[lane];
    best->grid.minimum[lane] = grid.minimum[lane];
    taken |= 1u << lane;
  }
  return taken;
}

uint32_t offer(const LaneGroup& group, const LaneGrid& grid, Best* best) {
  Lanes error;
  group.kernels->error(group.x, group.weight, group.size, grid, &error);
  return take(grid, error, best);
}

/// Offers the best of the grid's scale times each factor; the lanes whose best is the last one.
uint32_t offer_scan(const LaneGroup& group, LaneGrid grid, std::span<const float> factors,
                    Best* best) {
  Lanes error, factor;
  group.kernels->scan(group.x, group.weight, group.size, grid, factors, &error, &factor);
  uint32_t at_end = 0;
  for (size_t lane = 0; lane < kTileRows; lane++) {
    grid.scale[lane] *= factor[lane];
    error[lane] /= factor[lane] * factor[lane];
    if (best->unit[lane] > 0 && factor[lane] == factors.back()) at_end |= 1u << lane;
  }
  return at_end & take(grid, error, best);
}

/// The scale, and the minimum where there is one, that fit the codes of `grid` best.
LaneGrid least_squares(const RangeRules& rules, const LaneGroup& group, const LaneGrid& grid) {
  LaneSums sums;
  group.kernels->sums(group.x, group.weight, group.size, grid, &sums);
  const double n = group.weight_sum;
  LaneGrid fitted = grid;
  for (size_t lane = 0; lane < kTileRows; lane++) {
    const double pp = sums.pp[lane], tp = sums.tp[lane], p = sums.p[lane], t = sums.t[lane];
    double slope = pp > 0 ? tp / pp : 1, offset = 0;
    if (rules.zero == ZeroKind::minimum_f16) {
      const double spread = n * pp - p * p;
      if (!(spread > 1e-5 * n * pp)) continue;
      slope = (n * tp - p * t) / spread;
      offset = (t - slope * p) / n;
    }
    const double scale = grid.scale[lane] * slope;
    const double minimum = grid.minimum[lane] + grid.scale[lane] * offset;
    if (!(std::fabs(scale) >= FLT_MIN && std::fabs(scale) <= FLT_MAX / 16)) continue;
    if (scale < 0 && !rules.scale_type.has_sign()) continue;  // levels of one sign alone
    fitted.scale[lane] = static_cast<float>(scale);
    fitted.minimum[lane] = static_cast<float>(std::clamp(minimum, -65504.0, 65504.0));
  }
  return fitted;
}

void refine(const RangeRules& rules, const LaneGroup& group, Best* best) {
  for (int i = 0; i < kRefinements; i++)
    if (offer(group, least_squares(rules, group, best->grid), best) == 0) break;
}

void shrink_with_minimum(const RangeRules& rules, const LaneGroup& group, const LaneGrid& plain,
                         Best* best) {
  const float step = std::min(0.5f / rules.top, kWidestEndStep);
  for (int below = 0; below <= kEndSteps; below++) {
    std::array<float, kEndSteps + 1> factors;
    for (size_t above = 0; above < factors.size(); above++)
      factors[above] = 1 - step * (static_cast<float>(below) + static_cast<float>(above));
    LaneGrid grid = plain;
    for (size_t lane = 0; lane < kTileRows; lane++)
      grid.minimum[lane] += plain.scale[lane] * rules.top * step * static_cast<float>(below);
    offer_scan(group, grid, factors, best);
  }
}

void shrink(const RangeRules& rules, const LaneGroup& group, const LaneGrid& plain, Best* best) {
  const size_t bits = static_cast<size_t>(std::bit_width(static_cast<uint32_t>(rules.top)));
  const float step = kStep[bits - 1];
  // Codes run one further down than up: a negative scale turns that round.
  const bool lopsided = rules.levels ? !rules.levels->symmetric : rules.zero == ZeroKind::constant;
  const bool both = lopsided && rules.scale_type.has_sign();
  std::array<float, kSteps> factors;
  float next = kFirst;
  for (bool deeper = true; deeper && next > kLast;) {
    for (float& factor : factors) {
      factor = std::max(next, kLast);
      next -= step;
    }
    deeper = offer_scan(group, plain, factors, best) != 0;
    if (!both) continue;
    for (float& factor : factors) factor = -factor;
    deeper |= offer_scan(group, plain, factors, best) != 0;
  }
}

void try_octave(const LaneGroup& group, const LaneGrid& plain, Best* best) {
  std::array<float, kFineOctaveSteps> all;
  const bool fine = plain.levels->mantissa_bits >= kFineMantissa;
  const std::span<float> factors = std::span(all).first(fine ? kFineOctaveSteps : kOctaveSteps);
  const float share = 0.5f / static_cast<float>(factors.size());
  for (size_t i = 0; i < factors.size(); i++)
    factors[i] = kOctaveTop * (1 - share * static_cast<float>(i));
  for (bool deeper = true; deeper && factors[0] > kLast;) {
    deeper = offer_scan(group, plain, factors, best) != 0;
    for (float& factor : factors) factor *= 0.5f;
  }
}

/// The zero point one down and one up, the scale fitted again.
void move_zero(const RangeRules& rules, const LaneGroup& group, Best* best) {
  for (float by : {-1.0f, 1.0f}) {
    LaneGrid grid = best->grid;
    for (float& zero : grid.zero.at) zero = std::clamp(zero + by, 0.0f, rules.top);
    offer(group, least_squares(rules, group, grid), best);
  }
}

/// A stored group in the making.
struct Storing {
  StoredGroup group;
  Best best;

  void offer_stored(const LaneGroup& weights, const StoredGroup& candidate) {
    const uint32_t taken = offer(weights, candidate.grid, &best);
    for (size_t lane = 0; lane < kTileRows; lane++) {
      if ((taken >> lane & 1u) == 0) continue;
      group.scale_bits[lane] = candidate.scale_bits[lane];
      group.minimum_bits[lane] = candidate.minimum_bits[lane];
      group.saturated[lane] = group.underflowed[lane] = false;
    }
  }
};

}  // namespace

LaneGrid search_range(const RangeRules& rules, const LaneGroup& group, const LaneGrid& plain) {
  Best best = start(rules, group, plain, plain);
  // Where the levels are few the plain codes alone nearly settle the scale, of binary wholly.
  if (rules.levels) offer(group, least_squares(rules, group, plain), &best);
  if (rules.levels && rules.levels->wide)
    try_octave(group, plain, &best);
  else if (rules.zero == ZeroKind::minimum_f16)
    shrink_with_minimum(rules, group, plain, &best);
  else
    shrink(rules, group, plain, &best);
  refine(rules, group, &best);
  if (integer_zero(rules)) move_zero(rules, group, &best);
  return best.grid;
}

StoredGroup store_near(const RangeRules& rules, const LaneGrid& wanted, const Lanes& factors,
                       int up) {
  StoredGroup stored;
  stored.grid = rules.grid();
  const ScaleType& type = rules.scale_type;
  for (size_t lane = 0; lane < kTileRows; lane++) {
    const float scale = wanted.scale[lane];
    const float relative_scale = factors[lane] > 0 ? std::fabs(scale) / factors[lane] : 0;
    const int64_t rung = static_cast<int64_t>(type.nearest(relative_scale)) + up;
    const int64_t last = static_cast<int64_t>(type.last());
    store_lane(rules, lane, static_cast<uint32_t>(std::clamp<int64_t>(rung, 0, last)), scale < 0,
               wanted.zero[lane], f32_to_f16(wanted.minimum[lane]), factors[lane], &stored);
  }
  return stored;
}

StoredGroup store_searched(const RangeRules& rules, const LaneGroup& group, const LaneGrid& plain,
                           const LaneGrid& wanted, const Lanes& factors) {
  Storing storing = {store_plain(rules, plain, factors), {}};
  storing.best = start(rules, group, storing.group.grid, plain);
  storing.offer_stored(group, store_near(rules, wanted, factors, 0));
  if (rules.scale_type.is_coarse()) {
    const LaneGrid from = storing.best.grid;
    for (int up : {-1, 1}) storing.offer_stored(group, store_near(rules, from, factors, up));
  }
  for (int i = 0; i < kRoundings; i++) {
    const LaneGrid fitted = least_squares(rules, group, storing.best.grid);
    storing.offer_stored(group, store_near(rules, fitted, factors, 0));
  }
  for (size_t lane = 0; lane < kTileRows; lane++) {
    // A search that shrinks the range wants to clip: only a scale it cannot have counts.
    const float rungs = std::fabs(wanted.scale[lane]) * (1.0f - 0x1p-18f);
    storing.group.saturated[lane] &=
        rungs > rules.scale_type.value(rules.scale_type.last()) * factors[lane];
  }
  storing.group.grid = storing.best.grid;
  storing.group.error = storing.best.error;
  return storing.group;
}

}  // namespace sqf

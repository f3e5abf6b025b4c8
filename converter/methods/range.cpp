#include "converter/methods/range.hpp"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <utility>

#include "format/encoding.hpp"

namespace sqf {
namespace {

float round_even(float v) {
  return (v + 12582912.0f) - 12582912.0f;  // |v| < 2^22
}

/// The largest f16 not above v; the smallest finite one where there is none.
uint16_t f16_floor(float v) {
  const float bounded = std::clamp(v, -65504.0f, 65504.0f);
  const uint16_t bits = f32_to_f16(bounded);
  if (f16_to_f32(bits) <= bounded) return bits;
  if (bits == 0) return 0x8001;
  return static_cast<uint16_t>(bits & 0x8000 ? bits + 1 : bits - 1);
}

float ratio(float over, float under) {
  return under > 0 ? over / under : 0;
}

/// Smallest scale that covers [low, high] with the zero point fixed; 0 reaches nothing on a side
/// without codes, which then clips.
float constant_scale(float low, float high, float zero, float top) {
  return std::max(ratio(-low, zero), ratio(high, top - zero));
}

/// The size of the scale of this sign that brings [low, high] within the levels; a side without
/// levels is left out. `whole`: no side was.
float covering_scale(const LevelGrid& levels, float low, float high, bool negative, bool* whole) {
  if (negative) std::swap(low, high);
  const float sign = negative ? -1.0f : 1.0f;
  const float above = sign * high, below = -sign * low;
  *whole = (above <= 0 || levels.highest > 0) && (below <= 0 || levels.lowest < 0);
  return std::max(above > 0 ? ratio(above, levels.highest) : 0,
                  below > 0 ? ratio(below, -levels.lowest) : 0);
}

float level_scale(const RangeRules& rules, float low, float high) {
  const LevelGrid& levels = *rules.levels;
  const float largest = std::max(-low, high);
  if (largest == 0) return 0;
  bool whole = true;
  float scale = covering_scale(levels, low, high, false, &whole);
  if (rules.scale_type.has_sign()) {
    bool negative_whole = true;
    const float negative = covering_scale(levels, low, high, true, &negative_whole);
    // Where both must clip, the larger side counts: it asks for the larger scale.
    const bool better =
        whole == negative_whole ? whole ? negative < scale : negative > scale : negative_whole;
    if (better) scale = -negative;
  }
  // Levels that reach far: a scale of full precision at least, where anything is left of the group.
  const float size = std::clamp(std::fabs(scale), FLT_MIN, FLT_MAX);
  return scale == 0 || largest < FLT_MIN * levels.smallest ? 0 : std::copysign(size, scale);
}

}  // namespace

LaneGrid RangeRules::grid() const {
  LaneGrid grid;
  grid.top = top;
  grid.levels = levels ? &*levels : nullptr;
  return grid;
}

bool RangeRules::workable(float scale) const {
  const float size = std::fabs(scale), real = levels ? size * levels->unit : size;
  return std::min(size, real) > 16 * FLT_MIN && std::max(size, real) < FLT_MAX / 16;
}

RangeRules range_rules(const EncodingRecord& encoding) {
  RangeRules rules;
  rules.scale_type = {encoding.scale_type};
  rules.row_factor = encoding.row_factor != 0;
  rules.zero = encoding.zero;
  rules.top = static_cast<float>(code_count(encoding) - 1);
  rules.constant = static_cast<float>(encoding.zero_constant);
  rules.levels = level_grid(encoding);
  return rules;
}

LaneGrid plain_range(const RangeRules& rules, const LaneGroup& group) {
  Lanes low, high;
  group.kernels->bounds(group.x, group.size, &low, &high);
  return range_between(rules, low, high);
}

LaneGrid range_between(const RangeRules& rules, const Lanes& low, const Lanes& high) {
  LaneGrid grid = rules.grid();
  for (size_t lane = 0; lane < kTileRows; lane++) {
    if (rules.levels) {
      grid.scale[lane] = level_scale(rules, std::min(low[lane], 0.0f), std::max(high[lane], 0.0f));
      continue;
    }
    if (rules.zero == ZeroKind::minimum_f16) {
      grid.minimum[lane] = f16_to_f32(f16_floor(low[lane]));
      const float scale = high[lane] / rules.top - grid.minimum[lane] / rules.top;
      grid.scale[lane] = std::clamp(scale, 0.0f, FLT_MAX);
      continue;
    }
    // An integer zero point stands for the value 0, so the range must hold it.
    const float lo = std::min(low[lane], 0.0f), hi = std::max(high[lane], 0.0f);
    if (rules.zero == ZeroKind::constant) {
      grid.zero[lane] = rules.constant;
      grid.scale[lane] = constant_scale(lo, hi, rules.constant, rules.top);
    } else {
      grid.scale[lane] = std::min(hi / rules.top - lo / rules.top, FLT_MAX);
      if (grid.scale[lane] >= FLT_MIN)
        grid.zero[lane] = std::min(round_even(-lo / grid.scale[lane]), rules.top);
    }
  }
  return grid;
}

Lanes row_factors(const RangeRules& rules, const Lanes& largest) {
  const float top = rules.scale_type.value(rules.scale_type.row_top());
  Lanes factors;
  for (size_t lane = 0; lane < kTileRows; lane++) {
    factors[lane] = rules.row_factor && largest[lane] > 0 ? largest[lane] / top : 1;
    if (factors[lane] == 0 || (rules.levels && factors[lane] < FLT_MIN)) factors[lane] = FLT_MIN;
    // e8m0 has no zero: a row of them gets it from its factor.
    if (rules.levels && rules.row_factor && largest[lane] == 0) factors[lane] = 0;
  }
  return factors;
}

std::span<const float> factor_choices(const RangeRules& rules) {
  // Spread over the distance between two rungs: a factor of 2, or of 8/7 at e4m3's top.
  static constexpr float kE8m0[] = {1.0f, 0.84f, 0.71f, 0.59f};
  static constexpr float kE4m3[] = {1.0f, 1.02f, 1.04f, 1.06f};
  static constexpr float kOne[] = {1.0f};
  if (!rules.row_factor) return kOne;
  if (rules.scale_type.element == Element::e8m0) return kE8m0;
  if (rules.scale_type.element == Element::e4m3) return kE4m3;
  return kOne;
}

bool store_lane(const RangeRules& rules, size_t lane, uint32_t index, bool negative, float zero,
                uint16_t minimum, float factor, StoredGroup* stored) {
  const ScaleType& type = rules.scale_type;
  LaneGrid& grid = stored->grid;
  const float reach = rules.levels                          ? rules.levels->reach
                      : rules.zero == ZeroKind::minimum_f16 ? rules.top
                                                            : std::max(zero, rules.top - zero);
  const uint32_t wanted = index;
  while (index > 0 && !(type.value(index) * factor * reach <= FLT_MAX)) index--;
  const float scale = type.value(index) * factor;
  // Too small to divide by: the group's codes will all be the zero point.
  grid.scale[lane] = scale < FLT_MIN ? 0 : negative ? -scale : scale;
  grid.zero[lane] = zero;
  grid.minimum[lane] = rules.zero == ZeroKind::minimum_f16 ? f16_to_f32(minimum) : 0;
  stored->minimum_bits[lane] = minimum;
  const int width = element_bits(type.element);
  stored->scale_bits[lane] = index | (negative ? 1u << (width - 1) : 0u);
  return index == wanted;
}

StoredGroup store_plain(const RangeRules& rules, const LaneGrid& plain, const Lanes& factors) {
  StoredGroup stored;
  stored.grid = rules.grid();
  const ScaleType& type = rules.scale_type;
  for (size_t lane = 0; lane < kTileRows; lane++) {
    const float scale = plain.scale[lane], factor = factors[lane];
    const float wanted = factor > 0 ? std::fabs(scale) / factor : 0;
    const bool fits = store_lane(rules, lane, type.covering(wanted), scale < 0, plain.zero[lane],
                                 f32_to_f16(plain.minimum[lane]), factor, &stored);
    stored.saturated[lane] = !fits || wanted * (1.0f - 0x1p-18f) > type.value(type.last());
    // Of affine a scale of 0 can be all there is to say; levels have no offset to say it with.
    stored.underflowed[lane] = stored.grid.scale[lane] == 0 && (scale != 0 || rules.levels);
    stored.lifted[lane] =
        scale == 0 && rules.levels && !rules.levels->has_zero && type.value(0) > 0 && factor > 0;
  }
  return stored;
}

}  // namespace sqf

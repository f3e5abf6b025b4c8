#include "converter/methods/range.hpp"

#include <algorithm>
#include <cfloat>

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

}  // namespace

RangeRules range_rules(const EncodingRecord& encoding) {
  RangeRules rules;
  rules.scale_type = {encoding.scale_type};
  rules.row_factor = encoding.row_factor != 0;
  rules.zero = encoding.zero;
  rules.top = static_cast<float>(code_count(encoding) - 1);
  rules.constant = static_cast<float>(encoding.zero_constant);
  return rules;
}

LaneGrid plain_range(const RangeRules& rules, const LaneGroup& group) {
  LaneGrid grid;
  grid.top = rules.top;
  Lanes low, high;
  group.kernels->bounds(group.x, group.size, &low, &high);
  for (size_t lane = 0; lane < kTileRows; lane++) {
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
    if (factors[lane] == 0) factors[lane] = FLT_MIN;
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
  const float reach =
      rules.zero == ZeroKind::minimum_f16 ? rules.top : std::max(zero, rules.top - zero);
  const uint32_t wanted = index;
  while (index > 0 && !(type.value(index) * factor * reach <= FLT_MAX)) index--;
  const float scale = type.value(index) * factor;
  grid.top = rules.top;
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
  const ScaleType& type = rules.scale_type;
  for (size_t lane = 0; lane < kTileRows; lane++) {
    const float wanted = plain.scale[lane] / factors[lane];
    const bool fits = store_lane(rules, lane, type.covering(wanted), false, plain.zero[lane],
                                 f32_to_f16(plain.minimum[lane]), factors[lane], &stored);
    stored.saturated[lane] = !fits || wanted * (1.0f - 0x1p-18f) > type.value(type.last());
    stored.underflowed[lane] = plain.scale[lane] > 0 && stored.grid.scale[lane] == 0;
  }
  return stored;
}

}  // namespace sqf

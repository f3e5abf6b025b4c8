#include "format/activation.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace sqf {
namespace {

constexpr float kNotANumber = std::numeric_limits<float>::quiet_NaN();
// Adding 1.5 * 2^23 leaves no fraction bits: the addition itself rounds to nearest even.
constexpr float kRounder = 12582912.0f;

/// Floats as integers of the same order, infinities and NaN at both ends. Its own inverse.
int32_t ordered(int32_t bits) {
  return bits ^ ((bits >> 31) & 0x7fffffff);
}

/// A saturating minifloat with the usual bias.
struct Minifloat {
  int mantissa_bits, lowest_exponent;  ///< of the normal numbers; the subnormals have it, too
  float largest;
};

Minifloat minifloat_of(const ColumnSetRecord& set) {
  const int bias = (1 << (set.exponent_bits - 1)) - 1;
  const int highest = (1 << set.exponent_bits) - 1 - bias;
  return {set.mantissa_bits, 1 - bias,
          std::ldexp(2.0f - std::ldexp(1.0f, -set.mantissa_bits), highest)};
}

float power_of_two(int exponent) {
  return std::bit_cast<float>(static_cast<uint32_t>(exponent + 127) << 23);
}

float round_to(const Minifloat& m, float v) {
  v = std::clamp(v, -m.largest, m.largest);
  const int exponent = static_cast<int>(std::bit_cast<uint32_t>(v) >> 23 & 0xffu) - 127;
  const int step = std::max(exponent, m.lowest_exponent) - m.mantissa_bits;
  return (v * power_of_two(-step) + kRounder - kRounder) * power_of_two(step);
}

}  // namespace

ActivationRange range_of(const float* x, int64_t count) {
  int32_t low = std::numeric_limits<int32_t>::max(), high = std::numeric_limits<int32_t>::min();
  for (int64_t i = 0; i < count; i++) {
    const int32_t key = ordered(std::bit_cast<int32_t>(x[i]));
    low = std::min(low, key);
    high = std::max(high, key);
  }
  constexpr int32_t kInfinity = 0x7f800000;
  if (high >= kInfinity || low < -kInfinity) return {kNotANumber, kNotANumber};
  return {std::bit_cast<float>(ordered(low)), std::bit_cast<float>(ordered(high))};
}

ActivationRange join(ActivationRange a, ActivationRange b) {
  if (std::isnan(a.low) || std::isnan(b.low)) return {kNotANumber, kNotANumber};
  return {std::min(a.low, b.low), std::max(a.high, b.high)};
}

ActivationScale scale_of(const ColumnSetRecord& set, ActivationRange range) {
  const bool integer = set.quantizer == QuantizerKind::integer, asymmetric = set.asymmetric != 0;
  if (std::isnan(range.low)) return {kNotANumber, 0};
  if (set.is_static) return {set.scale, integer && asymmetric ? set.low : 0};
  const float largest = std::max(std::fabs(range.low), std::fabs(range.high));
  if (!integer) return {largest / largest_element(set), 0};
  if (!asymmetric) return {std::max(largest, 1e-5f) / largest_element(set), 0};
  const auto steps = static_cast<float>((1 << set.bits) - 1);
  const float scale = std::max((range.high - range.low) / steps, 1e-6f);
  if (std::isinf(scale)) return {kNotANumber, 0};
  return {scale, range.low};
}

IntegerRange integers_of(const ColumnSetRecord& set) {
  const int32_t half = 1 << (set.bits - 1);
  return set.asymmetric != 0 ? IntegerRange{0, 2 * half - 1} : IntegerRange{1 - half, half - 1};
}

float largest_element(const ColumnSetRecord& set) {
  if (set.quantizer == QuantizerKind::minifloat) return minifloat_of(set).largest;
  return static_cast<float>(integers_of(set).highest);
}

void round_activation(const ColumnSetRecord& set, ActivationScale scale, float* x, int64_t count) {
  if (std::isnan(scale.scale) || scale.scale == 0) {  // all so small that nothing is left of them
    std::fill_n(x, count, scale.scale);
    return;
  }
  if (set.quantizer == QuantizerKind::minifloat) {
    const Minifloat m = minifloat_of(set);
    for (int64_t i = 0; i < count; i++) x[i] = scale.scale * round_to(m, x[i] / scale.scale);
    return;
  }
  const IntegerRange range = integers_of(set);
  const auto lowest = static_cast<float>(range.lowest), highest = static_cast<float>(range.highest);
  for (int64_t i = 0; i < count; i++) {
    float v = (x[i] - scale.low) / scale.scale;
    v = v < lowest ? lowest : v;
    v = v > highest ? highest : v;
    x[i] = scale.scale * (v + kRounder - kRounder) + scale.low;
  }
}

}  // namespace sqf

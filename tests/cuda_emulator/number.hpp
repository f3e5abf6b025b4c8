#pragma once

// Floating-point formats and roundings, exact to the bit: any finite value is an integer times a
// power of two, and is rounded once into the format asked for. Results that are no number are the
// device's own NaN (all bits set but the sign).

#include <bit>
#include <cmath>
#include <cstdint>

namespace sqf {

enum class Rounding : uint8_t { nearest_even, zero, down, up, nearest_away };

struct Format {
  int exponent_bits;
  int mantissa_bits;
  bool infinity = true;  // e4m3: the largest exponent holds numbers, its last code is NaN
};
constexpr Format kF16{5, 10};
constexpr Format kBf16{8, 7};
constexpr Format kTf32{8, 10};
constexpr Format kF32{8, 23};
constexpr Format kF64{11, 52};
constexpr Format kE4m3{4, 3, false};
constexpr Format kE5m2{5, 2};

struct Exact {  // (-1)^negative * mantissa * 2^exponent
  enum class Kind : uint8_t { finite, infinite, nan } kind = Kind::finite;
  bool negative = false;
  uint64_t mantissa = 0;
  int exponent = 0;
};

Exact exact(double value);
Exact exact_integer(uint64_t bits, bool is_signed);
/// `saturate`: what lies beyond the largest finite value, infinity too, becomes it (.satfinite).
uint64_t encode(const Exact& value, const Format& format, Rounding rounding, bool saturate = false);
double decode(uint64_t bits, const Format& format);

/// Sums and quotients rounded to odd in 53 bits: a later rounding to at most 51 bits is then right.
double to_odd(double rounded, double rest);  // `rounded` + `rest` is what is to be rounded
inline double add_to_odd(double a, double b) {
  const double sum = a + b, part = sum - a;
  const double rest = (a - (sum - part)) + (b - part);
  return rest == 0 ? sum : to_odd(sum, rest);
}
double divide_to_odd(double a, double b);
double root_to_odd(double a);

inline uint32_t bits_of(float value) {
  return std::bit_cast<uint32_t>(value);
}
inline float float_of(uint32_t bits) {
  return std::bit_cast<float>(bits);
}
inline float device_nan(float value) {
  return std::isnan(value) ? float_of(0x7fffffff) : value;
}
inline float flush(float value) {
  return std::fabs(value) < 0x1p-126f ? std::copysign(0.0f, value) : value;
}

inline double from_f16(uint32_t bits) {
  const uint32_t magnitude = bits & 0x7fff, sign = (bits & 0x8000) << 16;
  const float scaled = float_of(sign | magnitude << 13) * 0x1p112f;  // to the bias of f32
  return magnitude >= 0x7c00 ? float_of(sign | 0x7f800000 | magnitude << 13) : scaled;
}
inline double from_bf16(uint32_t bits) {
  return float_of(bits << 16);
}

/// Rounded to nearest even; what is neither subnormal nor large takes the short way.
template <int kMantissaBits, int kBias>
uint16_t to_half(double value, const Format& format) {
  const auto bits = std::bit_cast<uint64_t>(value);
  const int exponent = static_cast<int>(bits >> 52) & 0x7ff;
  if (exponent <= 1023 - kBias || exponent > 1023 + kBias) {
    return static_cast<uint16_t>(encode(exact(value), format, Rounding::nearest_even));
  }
  constexpr int kDropped = 52 - kMantissaBits;
  const uint64_t magnitude = bits & ~(uint64_t{1} << 63);
  const uint64_t odd = (bits >> kDropped) & 1;
  const uint64_t rounded = (magnitude + (uint64_t{1} << (kDropped - 1)) - 1 + odd) >> kDropped;
  return static_cast<uint16_t>((rounded - (uint64_t{1023 - kBias} << kMantissaBits)) | (bits >> 63)
                                                                                           << 15);
}
inline uint16_t to_f16(double value) {
  return to_half<10, 15>(value, kF16);
}
inline uint16_t to_bf16(double value) {
  return to_half<7, 127>(value, kBf16);
}
inline float to_f32(double value, Rounding rounding) {
  return float_of(static_cast<uint32_t>(encode(exact(value), kF32, rounding)));
}

}  // namespace sqf

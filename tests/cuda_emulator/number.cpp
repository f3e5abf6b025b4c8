#include "tests/cuda_emulator/number.hpp"

#include <algorithm>
#include <limits>

namespace sqf {
namespace {

uint64_t nan_bits(const Format& format) {
  return (uint64_t{1} << (format.exponent_bits + format.mantissa_bits)) - 1;
}

/// Bits of the largest finite magnitude.
uint64_t largest(const Format& format) {
  const uint64_t all = (uint64_t{1} << (format.exponent_bits + format.mantissa_bits)) - 1;
  return format.infinity ? all - (uint64_t{1} << format.mantissa_bits) : all - 1;
}

uint64_t infinity(const Format& format) {
  return format.infinity ? largest(format) + 1 : nan_bits(format);
}

bool rounds_up(bool odd, int against_half, bool inexact, bool negative, Rounding rounding) {
  switch (rounding) {
    case Rounding::nearest_even:
      return against_half > 0 || (against_half == 0 && odd);
    case Rounding::nearest_away:
      return against_half >= 0;
    case Rounding::down:
      return inexact && negative;
    case Rounding::up:
      return inexact && !negative;
    case Rounding::zero:
      break;
  }
  return false;
}

/// mantissa / 2^shift, rounded.
uint64_t shifted(uint64_t mantissa, int shift, bool negative, Rounding rounding) {
  if (shift <= 0) return mantissa << -shift;
  uint64_t kept = 0;
  int against_half = -1;
  bool inexact = mantissa != 0;
  if (shift < 64) {
    kept = mantissa >> shift;
    const uint64_t rest = mantissa & ((uint64_t{1} << shift) - 1);
    const uint64_t half = uint64_t{1} << (shift - 1);
    against_half = rest > half ? 1 : rest == half ? 0 : -1;
    inexact = rest != 0;
  } else if (shift == 64) {
    const uint64_t half = uint64_t{1} << 63;
    against_half = mantissa > half ? 1 : mantissa == half ? 0 : -1;
  }
  return kept + (rounds_up((kept & 1) != 0, against_half, inexact, negative, rounding) ? 1 : 0);
}

}  // namespace

Exact exact(double value) {
  Exact out;
  out.negative = std::signbit(value);
  if (std::isnan(value)) {
    out.kind = Exact::Kind::nan;
  } else if (std::isinf(value)) {
    out.kind = Exact::Kind::infinite;
  } else {
    const auto bits = std::bit_cast<uint64_t>(value);
    const int exponent = static_cast<int>(bits >> 52) & 0x7ff;
    out.mantissa = bits & ((uint64_t{1} << 52) - 1);
    if (exponent != 0) out.mantissa |= uint64_t{1} << 52;
    out.exponent = std::max(exponent, 1) - 1075;
  }
  return out;
}

Exact exact_integer(uint64_t bits, bool is_signed) {
  Exact out;
  out.negative = is_signed && static_cast<int64_t>(bits) < 0;
  out.mantissa = out.negative ? 0 - bits : bits;
  return out;
}

uint64_t encode(const Exact& value, const Format& format, Rounding rounding, bool saturate) {
  if (value.kind == Exact::Kind::nan) return nan_bits(format);
  const int digits = format.exponent_bits + format.mantissa_bits;
  const uint64_t sign = value.negative ? uint64_t{1} << digits : 0;
  if (value.kind == Exact::Kind::infinite) {
    return sign | (saturate ? largest(format) : infinity(format));
  }
  if (value.mantissa == 0) return sign;
  const int bias = (1 << (format.exponent_bits - 1)) - 1;
  const int top = 63 - std::countl_zero(value.mantissa) + value.exponent;
  const int exponent = std::max(top, 1 - bias);
  const bool toward_zero = rounding == Rounding::zero ||
                           (rounding == Rounding::down && !value.negative) ||
                           (rounding == Rounding::up && value.negative);
  const uint64_t beyond = sign | (saturate || toward_zero ? largest(format) : infinity(format));
  if (exponent > bias + 1) return beyond;
  const uint64_t mantissa = shifted(
      value.mantissa, exponent - format.mantissa_bits - value.exponent, value.negative, rounding);
  const uint64_t bits =
      (static_cast<uint64_t>(exponent + bias - 1) << format.mantissa_bits) + mantissa;
  return bits > largest(format) ? beyond : sign | bits;
}

double decode(uint64_t bits, const Format& format) {
  const int digits = format.exponent_bits + format.mantissa_bits;
  const uint64_t magnitude = bits & ((uint64_t{1} << digits) - 1);
  const double sign = ((bits >> digits) & 1) != 0 ? -1.0 : 1.0;
  if (magnitude > largest(format)) {
    return format.infinity && magnitude == infinity(format)
               ? sign * std::numeric_limits<double>::infinity()
               : std::numeric_limits<double>::quiet_NaN();
  }
  const int bias = (1 << (format.exponent_bits - 1)) - 1;
  const int exponent = static_cast<int>(magnitude >> format.mantissa_bits);
  uint64_t mantissa = magnitude & ((uint64_t{1} << format.mantissa_bits) - 1);
  if (exponent != 0) mantissa |= uint64_t{1} << format.mantissa_bits;
  return sign * std::ldexp(static_cast<double>(mantissa),
                           std::max(exponent, 1) - bias - format.mantissa_bits);
}

double to_odd(double rounded, double rest) {
  auto bits = std::bit_cast<uint64_t>(rounded);
  if (rest == 0 || (bits & 1) != 0 || !std::isfinite(rounded)) return rounded;
  bits = (rest > 0) == (rounded > 0) ? bits + 1 : bits - 1;
  return std::bit_cast<double>(bits);
}

double divide_to_odd(double a, double b) {
  const double quotient = a / b;
  if (!std::isfinite(quotient) || !std::isfinite(b)) return quotient;
  const double rest = std::fma(-quotient, b, a);
  return to_odd(quotient, b > 0 ? rest : -rest);
}

double root_to_odd(double a) {
  const double root = std::sqrt(a);
  if (!std::isfinite(root) || root == 0) return root;
  return to_odd(root, std::fma(-root, root, a));
}

}  // namespace sqf

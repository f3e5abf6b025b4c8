#pragma once
// The small floating-point types of the format, one value at a time. f16 and bf16 go to and from
// f32; e4m3 and e8m0 widen. Widening is exact; narrowing rounds to nearest, ties to
// even, overflows to infinity and goes through subnormals to zero. A NaN stays a NaN: quiet, sign
// and leading payload bits kept, as the conversion instructions of x86 do. Branch-light, so that a
// loop over them vectorizes, and right under denormals-are-zero: no step has an f32 subnormal.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace sqf {

/// Value `index` of an array that need not be aligned.
template <typename T>
T load(const std::byte* base, int64_t index = 0) {
  T value;
  std::memcpy(&value, base + index * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}

constexpr float f16_to_f32(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t magnitude = static_cast<uint32_t>(half & 0x7fffu) << 13;
  constexpr uint32_t kInfinity = 0x7c00u << 13;
  constexpr uint32_t kRebias = (127 - 15) << 23;
  // Subnormal m * 2^-24: with exponent 2^-14 it reads as (1 + m/1024) * 2^-14.
  const float lifted = std::bit_cast<float>(magnitude + kRebias + (1u << 23)) - 0x1p-14f;
  const uint32_t small = std::bit_cast<uint32_t>(lifted);
  const uint32_t quiet = magnitude > kInfinity ? 1u << 22 : 0u;
  const uint32_t large = magnitude + 2 * kRebias;  // infinity and NaN: exponent 31 becomes 255
  uint32_t bits = magnitude + kRebias;
  bits = magnitude < (1u << 23) ? small : bits;
  bits = magnitude >= kInfinity ? large | quiet : bits;
  return std::bit_cast<float>(bits | sign);
}

constexpr uint16_t f32_to_f16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = bits >> 16 & 0x8000u;
  uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u)
    return static_cast<uint16_t>(sign | 0x7e00u | (magnitude >> 13 & 0x3ffu));
  constexpr uint32_t kOverflow = 0x477ff000u;  // 65520: halfway from the largest f16 to the next
  if (magnitude >= kOverflow) return static_cast<uint16_t>(sign | 0x7c00u);
  constexpr uint32_t kSmallestNormal = 0x38800000u;  // 2^-14
  if (magnitude < kSmallestNormal) {
    // The unit in the last place of 0.5 is 2^-24, that of an f16 subnormal: the addition rounds.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000u));
  }
  magnitude += 0xfffu + (magnitude >> 13 & 1u);
  return static_cast<uint16_t>(sign | ((magnitude - 0x38000000u) >> 13));
}

constexpr float bf16_to_f32(uint16_t brain) {
  return std::bit_cast<float>(static_cast<uint32_t>(brain) << 16);
}

constexpr uint16_t f32_to_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>(bits >> 16 | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

/// OCP E4M3: bias 7, no infinity, 0x7f and 0xff are NaN, largest 448.
constexpr float e4m3_to_f32(uint8_t bits) {
  const uint32_t exponent = (bits >> 3) & 15u, mantissa = bits & 7u;
  const uint32_t sign = static_cast<uint32_t>(bits & 0x80u) << 24;
  if (exponent == 15 && mantissa == 7) return std::bit_cast<float>(sign | 0x7fc00000u);
  if (exponent != 0) return std::bit_cast<float>(sign | (exponent + 120) << 23 | mantissa << 20);
  const float value = static_cast<float>(mantissa) * 0x1p-9f;
  return sign != 0 ? -value : value;
}

/// OCP E8M0: 2^(bits - 127); 0xff is NaN.
constexpr float e8m0_to_f32(uint8_t bits) {
  if (bits == 0xff) return std::bit_cast<float>(0x7fc00000u);
  if (bits == 0) return 0x1p-127f;
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 23);
}

}  // namespace sqf

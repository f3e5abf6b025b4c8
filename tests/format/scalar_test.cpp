// f16 and bf16 against the definition of the formats and against the processor.
#include "format/scalar.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace sqf {
namespace {

/// Value of an f16 by the definition of the format.
float f16_by_definition(uint16_t half) {
  const int exponent = half >> 10 & 31;
  const int mantissa = half & 1023;
  const float sign = half & 0x8000 ? -1.0f : 1.0f;
  if (exponent == 31) return mantissa == 0 ? sign * INFINITY : NAN;
  if (exponent == 0) return sign * std::ldexp(static_cast<float>(mantissa), -24);
  return sign * std::ldexp(static_cast<float>(1024 + mantissa), exponent - 25);
}

bool same_bits(float a, float b) {
  return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b);
}

TEST(Scalar, WidensEveryF16ByDefinition) {
  for (uint32_t i = 0; i < 65536; ++i) {
    const uint16_t half = static_cast<uint16_t>(i);
    const float expected = f16_by_definition(half);
    const float got = f16_to_f32(half);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(got)) << i;
      ASSERT_EQ(std::signbit(got), i >= 0x8000) << i;
    } else {
      ASSERT_TRUE(same_bits(got, expected)) << i;
      ASSERT_EQ(f32_to_f16(got), half) << i;
    }
  }
}

#if defined(__x86_64__)
__attribute__((target("f16c"))) float widened_by_cpu(uint16_t half) {
  return _cvtsh_ss(half);
}
__attribute__((target("f16c"))) uint16_t narrowed_by_cpu(float value) {
  return static_cast<uint16_t>(_cvtss_sh(value, _MM_FROUND_TO_NEAREST_INT));
}

/// Around every f16 and every midpoint between two, with the nearest f32 on both sides; and at
/// random. NaN payloads included: the two must agree bit for bit.
TEST(Scalar, AgreesWithTheProcessor) {
  if (!__builtin_cpu_supports("avx2")) GTEST_SKIP() << "no AVX2, hence no F16C";
  for (uint32_t i = 0; i < 65536; ++i)
    ASSERT_TRUE(
        same_bits(f16_to_f32(static_cast<uint16_t>(i)), widened_by_cpu(static_cast<uint16_t>(i))))
        << i;
  const auto check = [](uint32_t bits) {
    const float value = std::bit_cast<float>(bits);
    ASSERT_EQ(f32_to_f16(value), narrowed_by_cpu(value)) << std::hex << bits;
  };
  // Every f32 whose low 13 bits are at, just beside, or amid the tie: all normal f16 and their
  // midpoints, and for subnormals every tie there is (wider ties are multiples of these).
  for (uint32_t high = 0; high < 1u << 19; ++high)
    for (const uint32_t low : {0u, 1u, 0xfffu, 0x1000u, 0x1001u, 0x1fffu}) check(high << 13 | low);
  std::mt19937 random(1);
  for (int i = 0; i < 1 << 22; ++i) check(static_cast<uint32_t>(random()));
}
#endif

TEST(Scalar, RoundsBf16ToNearestEven) {
  for (uint32_t i = 0; i < 65536; ++i) {
    const uint16_t brain = static_cast<uint16_t>(i);
    const float value = bf16_to_f32(brain);
    ASSERT_EQ(std::bit_cast<uint32_t>(value), i << 16);
    if (std::isnan(value)) {
      ASSERT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(value))));
      continue;
    }
    ASSERT_EQ(f32_to_bf16(value), brain);
    if (std::isinf(value)) continue;
    const uint16_t up = static_cast<uint16_t>(i + 1);  // the next value away from zero, or infinity
    ASSERT_EQ(f32_to_bf16(std::bit_cast<float>(i << 16 | 0x7fffu)), brain);
    ASSERT_EQ(f32_to_bf16(std::bit_cast<float>(i << 16 | 0x8000u)), i & 1 ? up : brain);
    ASSERT_EQ(f32_to_bf16(std::bit_cast<float>(i << 16 | 0x8001u)), up);
  }
  // A NaN whose payload sits in the dropped bits only must not become infinity.
  EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(std::bit_cast<float>(0x7f800001u)))));
}

static_assert(f16_to_f32(0x3c00) == 1.0f && f32_to_f16(65519.0f) == 0x7bff &&
              f32_to_f16(65520.0f) == 0x7c00 && f32_to_f16(0x1p-25f) == 0);

}  // namespace
}  // namespace sqf

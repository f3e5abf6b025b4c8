// The ends: zeros, constants, one sign, and magnitudes that the stored types can hardly hold.
#include <gtest/gtest.h>

#include <cfloat>
#include <cmath>
#include <functional>
#include <random>
#include <vector>

#include "converter/encode.hpp"
#include "converter/methods/scale_type.hpp"

namespace sqf {
namespace {

constexpr int64_t kColumns = 64;
constexpr Element kTypes[] = {Element::f32,  Element::f16,  Element::bf16,
                              Element::e8m0, Element::e4m3, Element::u8};

struct Case {
  std::vector<float> decoded;
  QuantizeStats stats;
};

/// One row of 64 from w(column).
Case encode(const EncodingRecord& e, Range range, const std::function<float(int64_t)>& w) {
  std::vector<float> row(kColumns);
  for (int64_t k = 0; k < kColumns; k++) row[static_cast<size_t>(k)] = w(k);
  PartBuffers part = allocate_part(e, 1, kColumns);
  Case result;
  quantize_tile(row.data(), 0, 1, {range, nullptr}, &part, &result.stats);
  result.decoded.resize(kColumns);
  decode_row(part.view(), 0, result.decoded.data());
  return result;
}

template <typename Visit>
void each_range(Visit visit) {
  for (const int bits : {1, 2, 4, 5, 8})
    for (const Element type : kTypes)
      for (const ZeroKind zero :
           {ZeroKind::constant, ZeroKind::u4, ZeroKind::u8, ZeroKind::minimum_f16})
        for (const bool row_factor : {false, true})
          for (const Range range : {Range::minmax, Range::search}) {
            const EncodingRecord e = affine_encoding(bits, 32, type, row_factor, zero);
            if (!encoding_problem(e)) visit(e, range);
          }
}

TEST(EncodeLimits, ZerosStayZeros) {
  each_range([](const EncodingRecord& e, Range range) {
    const Case all = encode(e, range, [](int64_t) { return 0.0f; });
    for (const float x : all.decoded) ASSERT_EQ(x, 0) << describe(e);
    EXPECT_EQ(all.stats.zero_rows, 1);
    EXPECT_EQ(all.stats.energy, 0);
    EXPECT_EQ(all.stats.squared_error, 0);
    // A group of zeros beside one that is not.
    const Case half = encode(e, range, [](int64_t k) { return k < 32 ? 0.0f : 1.0f + float(k); });
    for (size_t k = 0; k < 32; k++) ASSERT_EQ(half.decoded[k], 0) << describe(e);
    EXPECT_EQ(half.stats.zero_rows, 0) << describe(e);
  });
}

TEST(EncodeLimits, NothingEverDecodesToNan) {
  const float sizes[] = {FLT_MAX, 0x1p127f, 1e30f,  70000.0f, 65504.0f, 1.0f,     1e-6f,
                         6e-8f,   1e-12f,   1e-30f, FLT_MIN,  1e-39f,   0x1p-149f};
  each_range([&](const EncodingRecord& e, Range range) {
    for (const float size : sizes)
      for (const int shape : {0, 1, 2}) {
        const Case result = encode(e, range, [&](int64_t k) {
          const float unit = static_cast<float>(k % 32) / 31.0f;  // 0..1
          return size * (shape == 0 ? unit * 2 - 1 : shape == 1 ? unit : -1 + unit / 8);
        });
        for (const float x : result.decoded)
          ASSERT_TRUE(std::isfinite(x)) << describe(e) << " size " << size;
        ASSERT_TRUE(std::isfinite(result.stats.squared_error)) << describe(e);
        ASSERT_TRUE(std::isfinite(result.stats.energy)) << describe(e);
      }
  });
}

TEST(EncodeLimits, OneSignDoesNotClip) {
  for (const float sign : {1.0f, -1.0f}) {
    const EncodingRecord e = affine_encoding(4, 32, Element::u8, true, ZeroKind::u4);
    const Case result = encode(
        e, Range::minmax, [&](int64_t k) { return sign * (3 + static_cast<float>(k % 32) / 31); });
    // The range holds 0, so a step is 4 / 15.
    for (int64_t k = 0; k < kColumns; k++)
      EXPECT_NEAR(result.decoded[static_cast<size_t>(k)],
                  sign * (3 + static_cast<float>(k % 32) / 31), 4.0f / 30 * 1.01f);
  }
}

TEST(EncodeLimits, ConstantRowsAreKept) {
  for (const float value : {1.0f, -0.3712f, 1e-3f, 12345.6f}) {
    for (const Range range : {Range::minmax, Range::search}) {
      const auto constant = [&](int64_t) { return value; };
      EncodingRecord e = affine_encoding(4, 32, Element::f32, false, ZeroKind::u4);
      for (const float x : encode(e, range, constant).decoded)
        EXPECT_NEAR(x, value, 0x1p-22f * std::fabs(value));
      // One bit with a minimum: what is above the f16 minimum, less than 2^-10 of it, is one step,
      // rounded up to an f16 itself: by 2^-10 of that or, where subnormal, by 2^-24.
      e = affine_encoding(1, 32, Element::f16, false, ZeroKind::minimum_f16);
      for (const float x : encode(e, range, constant).decoded)
        EXPECT_NEAR(x, value, 0x1p-20f * std::fabs(value) + 0x1p-24f);
    }
  }
}

TEST(EncodeLimits, TwoValuesFitOneBit) {
  const EncodingRecord e = affine_encoding(1, 32, Element::f16, false, ZeroKind::minimum_f16);
  for (const Range range : {Range::minmax, Range::search}) {
    const Case result = encode(e, range, [](int64_t k) { return k % 3 == 0 ? -0.125f : 0.375f; });
    for (int64_t k = 0; k < kColumns; k++)
      EXPECT_EQ(result.decoded[static_cast<size_t>(k)], k % 3 == 0 ? -0.125f : 0.375f);
  }
}

TEST(EncodeLimits, ScaleOverflowIsClampedAndCounted) {
  EncodingRecord e = affine_encoding(4, 32, Element::f16, false, ZeroKind::u4);
  const auto large = [](int64_t k) { return k < 32 ? 2e6f : 1.0f; };
  const Case clamped = encode(e, Range::minmax, large);
  EXPECT_EQ(clamped.stats.saturated, 1);
  EXPECT_EQ(clamped.decoded[0], 15 * 65504.0f);
  EXPECT_NEAR(clamped.decoded[40], 1.0f, 1e-3f);
  // Bf16 reaches as far as f32, and a row factor carries any magnitude.
  e = affine_encoding(4, 32, Element::bf16, false, ZeroKind::u4);
  EXPECT_EQ(encode(e, Range::minmax, large).stats.saturated, 0);
  e = affine_encoding(4, 32, Element::u8, true, ZeroKind::u4);
  EXPECT_EQ(encode(e, Range::minmax, large).stats.saturated, 0);
}

TEST(EncodeLimits, SubnormalF16ScalesAreRoundedUp) {
  // A step of 1.4 * 2^-24 lies between the two smallest f16: only the larger one clips nothing.
  const EncodingRecord e = affine_encoding(4, 32, Element::f16, false, ZeroKind::u4);
  const auto w = [](int64_t k) { return 1.4f * 0x1p-24f * static_cast<float>(k % 16); };
  const Case plain = encode(e, Range::minmax, w), searched = encode(e, Range::search, w);
  for (int64_t k = 0; k < kColumns; k++)
    EXPECT_LE(std::fabs(plain.decoded[static_cast<size_t>(k)] - w(k)), 0x1p-24f);
  EXPECT_LE(searched.stats.squared_error, plain.stats.squared_error);
  EXPECT_EQ(plain.stats.underflowed, 0);
}

TEST(EncodeLimits, TooSmallForF32IsCounted) {
  const EncodingRecord e = affine_encoding(4, 32, Element::f32, false, ZeroKind::u4);
  const Case result = encode(e, Range::search, [](int64_t) { return 0x1p-140f; });
  EXPECT_EQ(result.stats.underflowed, 2);
  EXPECT_EQ(result.stats.zero_rows, 0);
  EXPECT_DOUBLE_EQ(result.stats.squared_error, result.stats.energy);
  for (const float x : result.decoded) EXPECT_EQ(x, 0);
}

TEST(ScaleType, LadderFindsItsRungs) {
  std::mt19937 random(1);
  std::uniform_real_distribution<float> exponent(-30, 18);
  for (const Element element : kTypes) {
    const ScaleType type = {element};
    // The 2^31 rungs of f32 are taken on trust.
    const uint32_t rungs = element == Element::f32 ? 0 : type.last();
    for (uint32_t i = 0; i < rungs; i++) ASSERT_LT(type.value(i), type.value(i + 1));
    for (int i = 0; i < 20000; i++) {
      const float v = std::exp2(exponent(random));
      const uint32_t floor = type.floor(v), up = type.up(v), nearest = type.nearest(v);
      if (floor > 0) {
        ASSERT_LE(type.value(floor), v);
      }
      if (floor < type.last()) {
        ASSERT_GT(type.value(floor + 1), v);
      }
      ASSERT_TRUE(type.value(up) >= v || up == type.last()) << element_name(element) << " " << v;
      ASSERT_LE(up - floor, 1u);
      const float below = std::fabs(v - type.value(floor)), above = std::fabs(v - type.value(up));
      ASSERT_EQ(std::fabs(v - type.value(nearest)), std::min(below, above));
    }
  }
}

}  // namespace
}  // namespace sqf

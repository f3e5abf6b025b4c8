// Activations to int8: the formula, the padding, and the same bits from every instruction set.
#include "runtime/cpu/quantize.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

namespace sqf {
namespace {

std::vector<Isa> isas() {
  std::vector<Isa> all = {Isa::scalar};
  if (detected_isa() >= Isa::avx2) all.push_back(Isa::avx2);
  if (detected_isa() >= Isa::avx512_vnni) all.push_back(Isa::avx512_vnni);
  return all;
}

int32_t correction_value(int32_t packed) {
  return static_cast<int16_t>(packed & 0xffff) + 128 * (packed >> 16);
}

TEST(Quantize, RoundsToNearestEvenOfTheLargest) {
  // 127 is the largest: the scale is 1 and halves go to even.
  const std::vector<float> x = {127, 0.5f, 1.5f, -2.5f, 2.49f, -127, 126.5f, -0.5f};
  const std::vector<int> want = {127, 0, 2, -2, 2, -127, 126, 0};
  for (Isa isa : isas()) {
    QuantizedInput input;
    quantize_input(isa, x.data(), 1, 8, 32, &input);
    EXPECT_EQ(input.scales[0], 1.0f);
    int sum = 0;
    for (size_t i = 0; i < 8; i++) {
      EXPECT_EQ(input.q[i], want[i]) << isa_name(isa);
      sum += want[i];
    }
    for (int64_t i = 8; i < input.stride; i++) EXPECT_EQ(input.q[i], 0);
    EXPECT_EQ(correction_value(input.corrections[0]), -sum);
    EXPECT_EQ(input.sums[0], static_cast<float>(sum));
  }
}

TEST(Quantize, SameBitsEverywhere) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal(0, 1);
  for (const uint32_t group : {0u, 16u, 32u, 96u, 4096u}) {
    for (const int64_t columns : {1, 15, 16, 33, 100, 576, 5000, 40000}) {
      std::vector<float> x(static_cast<size_t>(columns * 3));
      for (float& v : x) v = normal(random) * std::exp2(static_cast<float>(random() % 40) - 20.0f);
      QuantizedInput want;
      quantize_input(Isa::scalar, x.data(), 3, columns, group, &want);
      for (Isa isa : isas()) {
        QuantizedInput got;
        quantize_input(isa, x.data(), 3, columns, group, &got);
        ASSERT_EQ(got.stride, want.stride);
        ASSERT_EQ(std::memcmp(got.q, want.q, static_cast<size_t>(3 * want.stride)), 0);
        const size_t bytes = static_cast<size_t>(3 * want.segments * 4);
        ASSERT_EQ(std::memcmp(got.scales, want.scales, bytes), 0);
        ASSERT_EQ(std::memcmp(got.sums, want.sums, bytes), 0);
        ASSERT_EQ(std::memcmp(got.corrections, want.corrections, bytes), 0);
      }
      for (int64_t s = 0; s < want.segments; s++) {
        int32_t sum = 0;
        for (int64_t i = 0; i < want.segment_columns(s); i++)
          sum += want.q[s * want.segment_slots + i];
        ASSERT_EQ(correction_value(want.corrections[s]), -sum);
        // rne(x / scale) * scale is within half a step, and a little for x * (1 / scale).
        for (int64_t i = 0; i < want.segment_columns(s); i++)
          ASSERT_NEAR(want.q[s * want.segment_slots + i] * want.scales[s],
                      x[static_cast<size_t>(s * want.segment + i)], want.scales[s] * 0.50002f);
      }
    }
  }
}

TEST(Quantize, WhatHasNoScale) {
  std::vector<float> x(96, 0.0f);
  x[32] = 0x1p-120f;
  x[70] = std::numeric_limits<float>::infinity();
  for (Isa isa : isas()) {
    QuantizedInput input;
    quantize_input(isa, x.data(), 1, 96, 32, &input);
    EXPECT_EQ(input.scales[0], 0);
    EXPECT_EQ(input.scales[1], 0);
    EXPECT_TRUE(std::isnan(input.scales[2]));
    for (size_t i = 0; i < 96; i++) EXPECT_EQ(input.q[i], 0);
  }
}

TEST(Quantize, RangesOfTokensAndReuse) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal(0, 1);
  const int64_t columns = 100, tokens = 7, x_stride = 130;
  std::vector<float> x(static_cast<size_t>(tokens * x_stride));
  for (float& v : x) v = normal(random);
  QuantizedInput parts, one;
  quantize_input(best_isa(), x.data(), 1, 700, 32, &parts);  // leaves other contents behind
  const int8_t* memory = parts.q;
  shape_input(2, columns, 32, &parts);
  EXPECT_EQ(parts.q, memory);
  shape_input(tokens, columns, 32, &parts);
  quantize_tokens(best_isa(), x.data(), x_stride, 3, tokens, &parts);
  quantize_tokens(best_isa(), x.data(), x_stride, 0, 3, &parts);
  for (int64_t t = 0; t < tokens; t++) {
    quantize_input(best_isa(), x.data() + t * x_stride, 1, columns, 32, &one);
    ASSERT_EQ(std::memcmp(one.q, parts.q + t * parts.stride, static_cast<size_t>(one.stride)), 0);
    ASSERT_EQ(std::memcmp(one.scales, parts.scales + t * parts.segments,
                          static_cast<size_t>(one.segments * 4)),
              0);
  }
}

/// Ties, what lies beyond the ends, every place in a vector; the last columns of a segment.
TEST(Quantize, OntoAGrid) {
  const std::vector<IntegerGrid> grids = {{0.5f, 0, -127, 127, 0},
                                          {0.37f, -1.7f, 0, 255, 128},
                                          {1, -5, 0, 15, 0},
                                          {0.01f, 0, -1, 1, 0}};
  std::mt19937 random(7);
  for (const IntegerGrid& grid : grids)
    for (const uint32_t group : {0u, 16u, 32u})
      for (const int64_t columns : {1, 7, 16, 33, 100, 600}) {
        std::vector<float> x(static_cast<size_t>(columns));
        for (float& v : x)
          v = static_cast<float>(static_cast<int>(random() % 1201) - 600) * 0.5f * grid.scale +
              grid.low;
        for (Isa isa : isas()) {
          QuantizedInput got;
          shape_input(1, columns, group, &got);
          std::memset(got.q, 99, static_cast<size_t>(got.stride));
          quantize_token_to(isa, grid, x.data(), 0, &got);
          std::vector<int8_t> want(static_cast<size_t>(got.stride), 0);
          for (int64_t s = 0; s < got.segments; s++) {
            int32_t sum = 0;
            for (int64_t i = 0; i < got.segment_columns(s); i++) {
              const float v = (x[static_cast<size_t>(s * got.segment + i)] - grid.low) / grid.scale;
              const auto q =
                  std::clamp(static_cast<int32_t>(std::nearbyint(v)), grid.lowest, grid.highest) -
                  grid.shift;
              want[static_cast<size_t>(s * got.segment_slots + i)] = static_cast<int8_t>(q);
              sum += q;
            }
            ASSERT_EQ(got.scales[s], grid.scale);
            ASSERT_EQ(correction_value(got.corrections[s]), -sum) << isa_name(isa);
            ASSERT_EQ(got.sums[s], grid.scale * static_cast<float>(sum));
          }
          ASSERT_EQ(std::memcmp(got.q, want.data(), want.size()), 0) << isa_name(isa);
        }
      }
}

TEST(Quantize, RangesOfActivations) {
  std::mt19937 random(8);
  std::normal_distribution<float> normal(0, 1);
  const std::vector<float> odd = {-0.0f,     1e-42f,        -3e38f,        INFINITY,
                                  -INFINITY, std::nanf(""), -std::nanf("")};
  for (const int64_t columns : {1, 2, 8, 15, 16, 17, 33, 100})
    for (size_t turn = 0; turn < 8 + odd.size(); turn++) {
      std::vector<float> x(static_cast<size_t>(columns));
      for (float& v : x) v = normal(random) + (turn % 2 == 0 ? 9.0f : -9.0f);
      if (turn >= 8) x[random() % x.size()] = odd[turn - 8];
      const ActivationRange want = range_of(x.data(), columns);
      for (Isa isa : isas()) {
        const ActivationRange got = activation_range(isa, x.data(), columns);
        ASSERT_EQ(std::memcmp(&got, &want, sizeof(got)), 0) << isa_name(isa) << " " << columns;
      }
    }
}

}  // namespace
}  // namespace sqf

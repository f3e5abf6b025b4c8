// How the floating-point matrix instructions read their elements, and how far from the exact sum
// they may be.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <random>

#include "format/scalar.hpp"
#include "tests/cuda_emulator/matrix.hpp"
#include "tests/cuda_emulator/matrix_layouts.hpp"

namespace sqf {
namespace {

/// Value of a pattern by the definition of such formats; `finite_top`: E4M3 of OCP, without
/// infinities.
double by_definition(uint32_t pattern, int exponent_bits, int mantissa_bits, bool finite_top) {
  const int top = (1 << exponent_bits) - 1, bias = top / 2;
  const int exponent = static_cast<int>(pattern >> mantissa_bits) & top;
  const int mantissa = static_cast<int>(pattern & ((1u << mantissa_bits) - 1));
  const double sign = pattern >> (exponent_bits + mantissa_bits) != 0 ? -1 : 1;
  const bool special = exponent == top && (!finite_top || mantissa == (1 << mantissa_bits) - 1);
  if (special) return mantissa == 0 ? sign * INFINITY : NAN;
  if (exponent == 0) return sign * std::ldexp(mantissa, 1 - bias - mantissa_bits);
  return sign * std::ldexp(mantissa + (1 << mantissa_bits), exponent - bias - mantissa_bits);
}

TEST(Matrix, ReadsEveryFloatingPointPattern) {
  struct Format {
    std::string_view suffix;
    int exponent_bits, mantissa_bits;
    bool finite_top;
  };
  for (const Format& format : {Format{"m16n8k8.row.col.f32.f16.f16.f32", 5, 10, false},
                               Format{"m16n8k8.row.col.f32.bf16.bf16.f32", 8, 7, false},
                               Format{"m16n8k32.row.col.f32.e4m3.e5m2.f32", 4, 3, true},
                               Format{"m16n8k32.row.col.f32.e5m2.e4m3.f32", 5, 2, false}}) {
    const MatrixInstruction& instruction = *find_mma(format.suffix);
    const NamedInstruction named = parse_suffix(format.suffix);
    const int k = named.layout->k;
    std::vector<uint32_t> a(static_cast<size_t>(16 * k)), b(static_cast<size_t>(8 * k));
    const std::vector<uint32_t> zeros(16 * 8);
    std::fill_n(b.begin(), 8, named.b->one);  // k = 0 of every column
    const uint32_t patterns = 1u << (format.exponent_bits + format.mantissa_bits + 1);
    for (uint32_t first = 0; first < patterns; first += 16) {
      for (int row = 0; row < 16; row++)
        a[static_cast<size_t>(row * k)] = first + static_cast<uint32_t>(row);
      const std::vector<uint32_t> d = multiply_patterns(instruction, a, b, zeros);
      for (uint32_t row = 0; row < 16; row++) {
        const double value = by_definition(first + row, format.exponent_bits, format.mantissa_bits,
                                           format.finite_top);
        if (std::isnan(value))
          ASSERT_EQ(d[row * 8], 0x7fffffffu) << format.suffix << ' ' << first + row;
        else
          ASSERT_EQ(std::bit_cast<float>(d[row * 8]), value) << format.suffix << ' ' << first + row;
      }
    }
  }
}

TEST(Matrix, GivesTheCanonicalNanOfF16) {
  const std::vector<uint32_t> infinities(16 * 16, 0x7c00), zeros(16 * 8);
  EXPECT_EQ(
      multiply_patterns(*find_mma("m16n8k16.row.col.f16.f16.f16.f16"), infinities, zeros, zeros),
      std::vector<uint32_t>(16 * 8, 0x7fff));
}

/// k sums, each rounded to nearest: k * 2^-24 of the sum of the magnitudes, to first order.
TEST(Matrix, StaysWithinTheBoundOfItsSums) {
  std::mt19937 random(4);
  std::normal_distribution<float> normal;
  const MatrixInstruction& instruction = *find_mma("m16n8k16.row.col.f32.f16.f16.f32");
  for (int repetition = 0; repetition < 50; repetition++) {
    std::vector<uint32_t> a(16 * 16), b(16 * 8), c(16 * 8);
    for (auto* matrix : {&a, &b})
      for (uint32_t& pattern : *matrix) pattern = f32_to_f16(normal(random));
    for (uint32_t& pattern : c) pattern = std::bit_cast<uint32_t>(normal(random));
    const std::vector<uint32_t> result = multiply_patterns(instruction, a, b, c);
    for (size_t row = 0; row < 16; row++)
      for (size_t col = 0; col < 8; col++) {
        double sum = std::bit_cast<float>(c[row * 8 + col]), magnitude = std::abs(sum);
        for (size_t k = 0; k < 16; k++) {
          const double p = by_definition(a[row * 16 + k], 5, 10, false) *
                           by_definition(b[k * 8 + col], 5, 10, false);
          sum += p;
          magnitude += std::abs(p);
        }
        ASSERT_NEAR(std::bit_cast<float>(result[row * 8 + col]), sum,
                    16 * 0x1p-24 * 1.000002 * magnitude);
      }
  }
}

}  // namespace
}  // namespace sqf

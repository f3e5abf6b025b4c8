// The pair as stored: what it gains on errors that quantizing really makes, that its bytes mean
// what the format says, at the ends of f32, and always the same bits.
#include "converter/methods/low_rank.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <tuple>
#include <vector>

#include "converter/encode.hpp"
#include "format/hash.hpp"
#include "format/scalar.hpp"
#include "tests/converter/low_rank_cases.hpp"

namespace sqf {
namespace {

/// W - What for the affine grid of so many bits, groups of 128 (0: whole rows).
std::vector<float> rounding_error(Shape shape, const std::vector<float>& w, int bits,
                                  uint32_t group = 128) {
  const EncodingRecord e = affine_encoding(bits, group, Element::f16, false, ZeroKind::u4);
  PartBuffers part = allocate_part(e, shape.rows, shape.columns);
  QuantizeStats stats;
  for (int64_t tile = 0; tile < tiles_of(shape.rows); tile++)
    quantize_tile(w.data() + tile * kTileRows * shape.columns, tile,
                  std::min<int64_t>(kTileRows, shape.rows - tile * kTileRows),
                  {Range::minmax, nullptr}, &part, &stats);
  std::vector<float> out(w.size());
  for (int64_t row = 0; row < shape.rows; row++)
    decode_row(part.view(), row, out.data() + row * shape.columns);
  for (size_t i = 0; i < w.size(); i++) out[i] = w[i] - out[i];
  return out;
}

/// F1 of the method notes: activations of variance 1, eight columns 60 times as large.
struct OutlierLayer {
  static constexpr Shape kShape = {512, 512};
  std::vector<float> w = gaussian(kShape, 0.02f, 1), seen = gaussian(kShape, 1, 2),
                     held_out = gaussian(kShape, 1, 3), rms = std::vector<float>(512);
  OutlierLayer() {
    for (const size_t column : {17u, 60u, 101u, 223u, 224u, 305u, 400u, 511u})
      for (std::vector<float>* x : {&seen, &held_out})
        for (size_t token = 0; token < 512; token++) (*x)[token * 512 + column] *= 60;
    for (size_t column = 0; column < 512; column++) {
      float sum = 0;
      for (size_t token = 0; token < 512; token++)
        sum += seen[token * 512 + column] * seen[token * 512 + column];
      rms[column] = std::sqrt(sum / 512);
    }
  }
  double output_error(const std::vector<float>& error) const {
    using Map = Eigen::Map<const Eigen::MatrixXf>;  // columns are tokens, or output rows
    const Matrix x = Map(held_out.data(), 512, 512).transpose().cast<double>();
    return (x * Map(error.data(), 512, 512).cast<double>()).squaredNorm();
  }
};

LowRankPair pair_of(Shape shape, const std::vector<float>& error, const float* weights,
                    int64_t rank, FactorType type = FactorType::i8) {
  LowRankOptions options;
  options.rank = rank;
  options.type = type;
  auto pair = low_rank_pair(error, shape.rows, shape.columns, weights, options);
  EXPECT_TRUE(pair) << pair.error().message;
  return std::move(*pair);
}

/// E - A B, the product as readers make it.
std::vector<float> rest_of(Shape shape, const std::vector<float>& error, const LowRankPair& pair) {
  std::vector<float> product(error.size());
  add_low_rank(pair, shape.rows, shape.columns, product.data());
  for (size_t i = 0; i < error.size(); i++) product[i] = error[i] - product[i];
  return product;
}

double energy(const std::vector<float>& v) {
  double sum = 0;
  for (const float x : v) sum += static_cast<double>(x) * static_cast<double>(x);
  return sum;
}

std::string problem_of(const std::vector<float>& error, Shape shape, const float* weights,
                       int64_t rank) {
  LowRankOptions options;
  options.rank = rank;
  const auto pair = low_rank_pair(error, shape.rows, shape.columns, weights, options);
  return pair ? "accepted" : pair.error().message;
}

class RoundingErrors : public testing::TestWithParam<std::tuple<int, uint32_t>> {};

TEST_P(RoundingErrors, GiveUpTheirShare) {
  const auto [bits, group] = GetParam();
  const Shape shape = {512, 512};
  const auto error = rounding_error(shape, gaussian(shape, 0.02f, 1), bits, group);
  const auto energies = exact_energies(shape, error);
  const double whole = energy(error), share = sum_of(energies, 0, 8) / whole;
  double last = whole;
  for (const int64_t rank : {1, 4, 8, 16, 32}) {
    const LowRankPair pair = pair_of(shape, error, nullptr, rank);
    EXPECT_NEAR(pair.error_before, whole, 1e-9 * whole);
    EXPECT_NEAR(pair.error_after, energy(rest_of(shape, error, pair)), 1e-5 * whole);
    EXPECT_LE(pair.error_after, last);
    last = pair.error_after;
    const double unrounded =
        exact_rest(shape, error, nullptr, factors_of(shape, error, nullptr, rank));
    EXPECT_NEAR(pair.error_after / unrounded, 1, 1e-3) << rank;
    const LowRankPair half = pair_of(shape, error, nullptr, rank, FactorType::f16);
    EXPECT_NEAR(half.error_after / unrounded, 1, 1e-6) << rank;
    EXPECT_EQ(half.saturated + pair.saturated + pair.underflowed, 0);
    EXPECT_LE(half.underflowed, rank);  // below 2^-25, of 1024 * rank around 2^-10
    if (rank == 8) {
      RecordProperty("ratio", std::to_string(pair.error_after / whole));
      RecordProperty("unrounded", std::to_string(unrounded / whole));
      EXPECT_LE(pair.error_after, whole * (1 - 0.98 * share));
      // Rounding errors are all but noise: the law of its largest singular values, 4 m / N here.
      if (group != 0) {
        EXPECT_LE(share, 8 * 4.0 / 512);
        EXPECT_GE(share, 0.9 * 8 * 4.0 / 512);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Bits, RoundingErrors,
                         testing::Combine(testing::Values(4, 3, 2), testing::Values(128u, 0u)),
                         [](const auto& test) {
                           return "w" + std::to_string(std::get<0>(test.param)) + "g" +
                                  std::to_string(std::get<1>(test.param));
                         });

class OutlierColumns : public testing::TestWithParam<int> {};

TEST_P(OutlierColumns, NeedWeights) {
  static const OutlierLayer layer;
  const Shape shape = OutlierLayer::kShape;
  const auto error = rounding_error(shape, layer.w, GetParam());
  const double base = layer.output_error(error);
  for (const FactorType type : {FactorType::i8, FactorType::f16}) {
    const LowRankPair plain = pair_of(shape, error, nullptr, 8, type);
    const LowRankPair weighted = pair_of(shape, error, layer.rms.data(), 8, type);
    const double plain_ratio = layer.output_error(rest_of(shape, error, plain)) / base;
    const double weighted_ratio = layer.output_error(rest_of(shape, error, weighted)) / base;
    RecordProperty(type == FactorType::i8 ? "plain_i8" : "plain_f16", std::to_string(plain_ratio));
    RecordProperty(type == FactorType::i8 ? "weighted_i8" : "weighted_f16",
                   std::to_string(weighted_ratio));
    EXPECT_LE(weighted_ratio, 0.05);
    EXPECT_GE(plain_ratio, 0.85);  // it does not know which columns matter
    EXPECT_LE(plain_ratio, 1.0);
    // Rounding the factors costs a thousandth of what was there.
    const double unrounded =
        exact_rest(shape, error, layer.rms.data(), factors_of(shape, error, layer.rms.data(), 8));
    EXPECT_NEAR(weighted.error_after, unrounded, 1e-3 * weighted.error_before);
  }
}

INSTANTIATE_TEST_SUITE_P(Bits, OutlierColumns, testing::Values(4, 3, 2));

/// Where section 4 of the page on encodings puts an element of a factor of several rows.
int64_t place_of(FactorType type, int64_t row, int64_t column, int64_t columns) {
  const int64_t in_word = type == FactorType::f16 ? 2 : 4,
                words = (columns + in_word - 1) / in_word;
  return (row / 16 * words + column / in_word) * 64 + row % 16 * 4 + column % in_word * 4 / in_word;
}

/// Whether all bytes that hold none of the [rows][columns] are zero.
bool padding_is_zero(FactorType type, std::vector<std::byte> bytes, int64_t rows, int64_t columns) {
  for (int64_t row = 0; row < rows; row++)
    for (int64_t column = 0; column < columns; column++) {
      const auto at = static_cast<size_t>(place_of(type, row, column, columns));
      bytes[at] = std::byte{0};
      if (type == FactorType::f16) bytes[at + 1] = std::byte{0};
    }
  return std::count(bytes.begin(), bytes.end(), std::byte{0}) ==
         static_cast<ptrdiff_t>(bytes.size());
}

double element(const LowRankPair& pair, const std::vector<std::byte>& bytes,
               const std::vector<float>& scales, int64_t row, int64_t column, int64_t columns) {
  const std::byte* at = bytes.data() + place_of(pair.type, row, column, columns);
  if (pair.type == FactorType::f16) return static_cast<double>(f16_to_f32(load<uint16_t>(at)));
  return static_cast<double>(static_cast<float>(load<int8_t>(at)) *
                             scales[static_cast<size_t>(row)]);
}

TEST(LowRank, BytesAreWhatTheFormatSays) {
  for (const FactorType type : {FactorType::i8, FactorType::f16})
    for (const auto& [shape, rank] :
         {std::pair(Shape{33, 70}, 5), std::pair(Shape{70, 33}, 33), std::pair(Shape{3, 64}, 3)}) {
      const auto error = gaussian(shape, 0.01f, 9);
      const LowRankPair pair = pair_of(shape, error, nullptr, rank, type);
      ASSERT_EQ(pair.rank, rank);
      const auto padded = [](int64_t rows) { return (rows + 15) / 16 * 16; };
      ASSERT_EQ(pair.a.size(), static_cast<size_t>(place_of(type, padded(shape.rows), 0, rank)));
      ASSERT_EQ(pair.b.size(), static_cast<size_t>(place_of(type, padded(rank), 0, shape.columns)));
      ASSERT_EQ(pair.a_scales.size(),
                type == FactorType::i8 ? static_cast<size_t>(shape.rows) : 0u);
      ASSERT_EQ(pair.b_scales.size(), type == FactorType::i8 ? static_cast<size_t>(rank) : 0u);
      EXPECT_TRUE(padding_is_zero(type, pair.a, shape.rows, rank));
      EXPECT_TRUE(padding_is_zero(type, pair.b, rank, shape.columns));
      std::vector<float> w(error.size(), 1.0f), expected = w;
      add_low_rank(pair, shape.rows, shape.columns, w.data());
      double after = 0;
      for (int64_t n = 0; n < shape.rows; n++)
        for (int64_t k = 0; k < shape.columns; k++) {
          float sum = 0;  // every product and sum of the specification is rounded to f32
          for (int64_t r = 0; r < rank; r++) {
            const float product =
                static_cast<float>(element(pair, pair.a, pair.a_scales, n, r, rank)) *
                static_cast<float>(element(pair, pair.b, pair.b_scales, r, k, shape.columns));
            sum = sum + product;
          }
          const auto i = static_cast<size_t>(n * shape.columns + k);
          expected[i] = expected[i] + sum;
          const double rest = static_cast<double>(error[i]) - static_cast<double>(sum);
          after += rest * rest;
        }
      EXPECT_EQ(w, expected);
      EXPECT_NEAR(pair.error_after, after, 1e-12 * pair.error_before);
      // Every row uses its scale fully.
      for (int64_t r = 0; type == FactorType::i8 && r < rank; r++) {
        int most = 0;
        for (int64_t k = 0; k < shape.columns; k++)
          most = std::max(most, std::abs(static_cast<int>(load<int8_t>(
                                    pair.b.data(), place_of(type, r, k, shape.columns)))));
        EXPECT_EQ(most, 127);
      }
    }
}

TEST(LowRank, RankStopsAtTheMatrix) {
  const Shape shape = {6, 9};
  const auto error = gaussian(shape, 1, 10);
  const LowRankPair pair = pair_of(shape, error, nullptr, 1000, FactorType::f16);
  EXPECT_EQ(pair.rank, 6);
  EXPECT_LE(pair.error_after, 1e-6 * pair.error_before);  // nothing is left but f16
  EXPECT_EQ(pair_of({9, 6}, error, nullptr, 7).rank, 6);
}

TEST(LowRank, NoErrorGivesZeros) {
  for (const FactorType type : {FactorType::i8, FactorType::f16}) {
    const LowRankPair pair = pair_of({20, 40}, std::vector<float>(800, -0.0f), nullptr, 8, type);
    EXPECT_EQ(pair.rank, 8);
    for (const auto* bytes : {&pair.a, &pair.b})
      for (const std::byte byte : *bytes) ASSERT_EQ(byte, std::byte{0});
    for (const auto* scales : {&pair.a_scales, &pair.b_scales})
      for (const float scale : *scales) EXPECT_EQ(scale, 1.0f);
    EXPECT_EQ(pair.error_before, 0);
    EXPECT_EQ(pair.error_after, 0);
  }
}

TEST(LowRank, ExactlyLowRankIsFoundWithRanksToSpare) {
  const Shape shape = {48, 80};
  std::vector<float> error(48 * 80, 0.0f);
  for (size_t n = 0; n < 48; n++)
    for (size_t k = 0; k < 80; k++)  // rank 2; row 5 and column 7 are zeros
      if (n != 5 && k != 7)
        error[n * 80 + k] = static_cast<float>(n + 1) * (k % 2 == 0 ? 1.0f : -2.0f) +
                            static_cast<float>(k) * (n % 3 == 0 ? 4.0f : 0.5f);
  const LowRankPair pair = pair_of(shape, error, nullptr, 8, FactorType::f16);
  EXPECT_LE(pair.error_after, 1e-6 * pair.error_before);
  const LowRankPair bytes = pair_of(shape, error, nullptr, 8, FactorType::i8);
  EXPECT_LE(bytes.error_after, 1e-4 * bytes.error_before);
  EXPECT_EQ(bytes.a_scales[5], 1.0f);
}

TEST(LowRank, AnyMagnitude) {
  const Shape shape = {40, 60};
  for (const FactorType type : {FactorType::i8, FactorType::f16}) {
    const auto error = gaussian(shape, 1, 11);
    const LowRankPair one = pair_of(shape, error, nullptr, 4, type);
    for (const int exponent : {-40, -12, 12, 30, 80, 120}) {
      std::vector<float> scaled = error;
      for (float& v : scaled) v = std::ldexp(v, exponent);
      const LowRankPair pair = pair_of(shape, scaled, nullptr, 4, type);
      for (const auto* scales : {&pair.a_scales, &pair.b_scales})
        for (const float scale : *scales) ASSERT_TRUE(std::isfinite(scale) && scale > 0);
      ASSERT_LE(pair.error_after, pair.error_before) << exponent;
      if (type == FactorType::i8 || std::abs(exponent) <= 12) {
        EXPECT_NEAR(pair.error_after / pair.error_before, one.error_after / one.error_before, 1e-4)
            << exponent;
      }
      if (type == FactorType::f16 && exponent >= 80) {
        EXPECT_GT(pair.saturated, 0);
      }
      if (type == FactorType::f16 && exponent == -40) {
        EXPECT_GT(pair.underflowed, 0);
      }
    }
  }
}

/// A channel that calibration never saw alive must not blow up its column of B.
TEST(LowRank, DeadChannels) {
  const Shape shape = {64, 96};
  const auto error = gaussian(shape, 0.01f, 12);
  std::vector<float> weights(96, 1.0f);
  for (const size_t k : {0u, 31u, 95u}) weights[k] = 0;
  weights[32] = 1e-30f;
  weights[33] = std::numeric_limits<float>::denorm_min();
  for (const FactorType type : {FactorType::i8, FactorType::f16}) {
    const LowRankPair pair = pair_of(shape, error, weights.data(), 8, type);
    EXPECT_EQ(pair.saturated + pair.underflowed, 0);
    EXPECT_LT(pair.error_after, pair.error_before);
    const auto rest = rest_of(shape, error, pair);
    for (const size_t k : {0u, 31u, 32u, 33u, 95u}) {
      double before = 0, after = 0;
      for (size_t n = 0; n < 64; n++) {
        before += std::pow(static_cast<double>(error[n * 96 + k]), 2);
        after += std::pow(static_cast<double>(rest[n * 96 + k]), 2);
      }
      EXPECT_LE(after, before * 1.001) << k;
    }
    // Nothing known is the same as nothing asked.
    const std::vector<float> none(96, 0.0f);
    const LowRankPair blind = pair_of(shape, error, none.data(), 8, type);
    EXPECT_EQ(blind.b, pair_of(shape, error, nullptr, 8, type).b);
    EXPECT_EQ(blind.error_before, 0);
  }
}

TEST(LowRank, RefusesByName) {
  std::vector<float> error(12, 1.0f), weights(4, 1.0f);
  EXPECT_EQ(problem_of(error, {3, 5}, nullptr, 2), "low-rank pair: 12 errors are no [3, 5]");
  EXPECT_EQ(problem_of(error, {0, 4}, nullptr, 2), "low-rank pair: 12 errors are no [0, 4]");
  EXPECT_EQ(problem_of(error, {3, 4}, nullptr, 0), "low-rank pair: a rank of 0");
  weights[2] = -1;
  EXPECT_EQ(problem_of(error, {3, 4}, weights.data(), 2),
            "low-rank pair: the weight of column 2 is negative or not finite");
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    error[7] = bad;
    EXPECT_EQ(problem_of(error, {3, 4}, nullptr, 2),
              "low-rank pair: the error of row 1, column 3 is not finite");
  }
}

/// Integers in, so that no library has a say: the bytes are those of every compiler and CPU.
TEST(LowRank, SameBitsEverywhere) {
  const Shape shape = {100, 150};
  std::mt19937 random(1);
  std::vector<float> error(15000), weights(150);
  for (float& v : error)
    v = static_cast<float>(static_cast<int>(random() % 2001) - 1000) * 0x1p-20f;
  for (float& v : weights) v = static_cast<float>(random() % 64) * 0.125f;
  for (const auto& [type, expected] : {std::pair(FactorType::i8, 0xccdff5bf826515b6ull),
                                       std::pair(FactorType::f16, 0x4600ac49f2d66226ull)}) {
    Hasher hash;
    const LowRankPair pair = pair_of(shape, error, weights.data(), 7, type);
    hash.update(pair.a);
    hash.update(pair.b);
    hash.update(std::as_bytes(std::span(pair.a_scales)));
    hash.update(std::as_bytes(std::span(pair.b_scales)));
    EXPECT_EQ(hash.digest(), expected) << std::hex << hash.digest();
  }
}

}  // namespace
}  // namespace sqf

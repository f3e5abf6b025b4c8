// The clip search: no group of any row loses more of its partial dot products than unclipped,
// whatever the encoding, and on weights with heavy tails most lose less.
#include <numeric>

#include "converter/methods/gram_error.hpp"
#include "format/encoding.hpp"
#include "tests/converter/gptq_problem.hpp"

namespace sqf {
namespace {

constexpr int64_t kClipRows = 21;

/// Heavy tails: a few weights in each group are several times as large as the others.
std::vector<float> tailed(int64_t count, std::mt19937* random) {
  std::vector<float> w = gaussians(count, 0.02f, random);
  for (float& x : w) x *= 1 + 40 * x * x / 0.0016f * 0.05f;
  return w;
}

/// X^T X over each group of the encoding, one behind another.
std::vector<float> blocks_of(const EncodingRecord& e, const std::vector<double>& gram,
                             int64_t columns) {
  const Grouping groups = grouping(e, columns);
  std::vector<float> blocks;
  for (int64_t g = 0; g < groups.count; g++)
    for (int64_t i = 0; i < groups.size(g); i++)
      for (int64_t j = 0; j < groups.size(g); j++)
        blocks.push_back(static_cast<float>(
            gram[static_cast<size_t>((groups.begin(g) + i) * columns + groups.begin(g) + j)]));
  return blocks;
}

std::vector<double> gram_of_problem(int64_t columns, std::mt19937* random) {
  std::vector<float> loudness(static_cast<size_t>(columns), 1.0f);
  for (size_t k = 0; k < loudness.size(); k += 13) loudness[k] = 12;
  const std::vector<float> mix = gaussians(24 * columns, 1, random);
  return gram_of(activations(512, columns, 24, mix, loudness, random), columns);
}

struct Coded {
  PartBuffers part;
  QuantizeStats stats;
};

Coded code(const EncodingRecord& e, const std::vector<float>& w, int64_t columns,
           const QuantizeOptions& options) {
  Coded out = {allocate_part(e, kClipRows, columns), {}};
  for (int64_t tile = 0; tile < tiles_of(kClipRows); tile++)
    quantize_tile(w.data() + tile * kTileRows * columns, tile, rows_of_tile(kClipRows, tile),
                  options, &out.part, &out.stats);
  return out;
}

/// d^T G d by row and group, from the definition, of what a reader decodes.
std::vector<long double> losses_of(const PartBuffers& part, const std::vector<float>& w,
                                   const std::vector<float>& blocks) {
  const Grouping groups = grouping(part.encoding, part.columns);
  std::vector<float> decoded(static_cast<size_t>(part.columns));
  std::vector<long double> losses;
  for (int64_t row = 0; row < part.rows; row++) {
    decode_row(part.view(), row, decoded.data());
    size_t at = 0;
    for (int64_t g = 0; g < groups.count; g++) {
      long double sum = 0;
      const auto off = [&](int64_t i) {
        const auto k = static_cast<size_t>(groups.begin(g) + i);
        return static_cast<long double>(w[static_cast<size_t>(row * part.columns) + k]) -
               static_cast<long double>(decoded[k]);
      };
      for (int64_t i = 0; i < groups.size(g); i++)
        for (int64_t j = 0; j < groups.size(g); j++) sum += off(i) * off(j) * blocks[at++];
      losses.push_back(sum);
    }
  }
  return losses;
}

TEST(Clip, EveryInstructionSetGivesTheSameBits) {
  std::mt19937 random(1);
  std::normal_distribution<double> normal;
  for (const int64_t size : {1, 3, 4, 7, 16, 33, 128}) {
    std::vector<float> gram = gaussians(size * size, 1, &random);
    for (int64_t i = 0; i < size; i++)
      for (int64_t j = 0; j < i; j++)
        gram[static_cast<size_t>(j * size + i)] = gram[static_cast<size_t>(i * size + j)];
    std::vector<double> off(static_cast<size_t>(size * kTileRows));
    for (double& d : off) d = normal(random);
    LaneErrors first = {};
    gram_kernels().front()({gram.data(), off.data(), size, first.data()});
    for (const GramKernel kernel : gram_kernels()) {
      LaneErrors errors = {};
      kernel({gram.data(), off.data(), size, errors.data()});
      EXPECT_EQ(errors, first) << size;
    }
    for (size_t lane = 0; lane < kTileRows; lane++) {
      double sum = 0, terms = 0;
      for (size_t i = 0; i < static_cast<size_t>(size); i++)
        for (size_t j = 0; j < static_cast<size_t>(size); j++) {
          const double term = off[i * kTileRows + lane] * off[j * kTileRows + lane] *
                              static_cast<double>(gram[i * static_cast<size_t>(size) + j]);
          sum += term;
          terms += std::fabs(term);
        }
      EXPECT_NEAR(first[lane], sum, terms * static_cast<double>(size) * 0x1p-52);
    }
  }
}

TEST(Clip, NeverLosesMoreThanUnclipped) {
  constexpr int64_t kColumns = 200;
  std::mt19937 random(2);
  const std::vector<float> w = tailed(kClipRows * kColumns, &random);
  const std::vector<double> gram = gram_of_problem(kColumns, &random);
  int encodings = 0;
  int64_t groups = 0, less = 0;
  const auto check = [&](const EncodingRecord& e) {
    if (encoding_problem(e)) return;
    const std::vector<float> blocks = blocks_of(e, gram, kColumns);
    const Coded plain = code(e, w, kColumns, {Range::minmax});
    const Coded clipped = code(e, w, kColumns, {Range::clip, nullptr, blocks.data()});
    const auto before = losses_of(plain.part, w, blocks),
               after = losses_of(clipped.part, w, blocks);
    long double before_sum = 0, after_sum = 0;
    for (size_t i = 0; i < before.size(); i++) {
      ASSERT_LE(after[i], before[i]) << describe(e) << ", " << i;
      before_sum += before[i];
      after_sum += after[i];
      less += after[i] < before[i];
    }
    groups += static_cast<int64_t>(before.size());
    encodings++;
    // What is told is what was done.
    EXPECT_NEAR(clipped.stats.unclipped_error, static_cast<double>(before_sum),
                static_cast<double>(before_sum) * 1e-9);
    EXPECT_NEAR(clipped.stats.clipped_error, static_cast<double>(after_sum),
                static_cast<double>(before_sum) * 1e-9);
    EXPECT_LE(clipped.stats.clipped, static_cast<int64_t>(before.size()));
    EXPECT_EQ(plain.stats.clipped, 0);
  };
  for (const int bits : {1, 2, 3, 4, 8})
    for (const uint32_t group : {32u, 128u, 0u})
      for (const Element type : {Element::f32, Element::f16, Element::u8, Element::e4m3})
        for (const ZeroKind zero :
             {ZeroKind::constant, ZeroKind::u4, ZeroKind::u8, ZeroKind::minimum_f16})
          for (const bool factor : {false, true})
            check(affine_encoding(bits, group, type, factor, zero));
  check(minifloat_encoding(2, 1, MinifloatKind::saturating, 32, Element::e8m0, false));
  check(levels_encoding(std::vector<float>{-1, 0, 1}, 120, Element::u8, true));
  EXPECT_GE(encodings, 200);
  EXPECT_GT(less, groups / 2);
  RecordProperty("groups", std::to_string(groups));
  RecordProperty("less", std::to_string(less));
}

/// On tokens that it has not seen, of the same kind, it is ahead of ranges that clip nothing and of
/// those with the least error weighed by column.
TEST(Clip, GainsOnOtherTokens) {
  constexpr int64_t kColumns = 256;
  for (const int bits : {3, 4}) {
    const EncodingRecord e = affine_encoding(bits, 128, Element::f16, false, ZeroKind::u4);
    std::mt19937 random(3);
    const std::vector<float> w = tailed(kClipRows * kColumns, &random);
    std::vector<float> loudness(kColumns, 1.0f);
    for (size_t k = 0; k < loudness.size(); k += 13) loudness[k] = 12;
    const std::vector<float> mix = gaussians(24 * kColumns, 1, &random);
    const auto gram = gram_of(activations(2048, kColumns, 24, mix, loudness, &random), kColumns);
    const auto other = gram_of(activations(2048, kColumns, 24, mix, loudness, &random), kColumns);
    const std::vector<float> blocks = blocks_of(e, gram, kColumns);
    std::vector<float> importance;
    for (size_t k = 0; k < kColumns; k++)
      importance.push_back(static_cast<float>(gram[k * (kColumns + 1)]));
    const auto loss = [&](const QuantizeOptions& options) {
      const auto losses =
          losses_of(code(e, w, kColumns, options).part, w, blocks_of(e, other, kColumns));
      return static_cast<double>(std::accumulate(losses.begin(), losses.end(), 0.0L));
    };
    const double plain = loss({Range::minmax}), weighed = loss({Range::search, importance.data()});
    const double clipped = loss({Range::clip, nullptr, blocks.data()});
    EXPECT_LT(clipped, 0.9 * plain) << bits;
    EXPECT_LT(clipped, weighed) << bits;
    RecordProperty("over plain, " + std::to_string(bits) + " bits",
                   std::to_string(clipped / plain));
    RecordProperty("over weighed, " + std::to_string(bits) + " bits",
                   std::to_string(clipped / weighed));
  }
}

/// Silent inputs, groups of zeros, weights at the ends of f32: all of them encode.
TEST(Clip, OddGroups) {
  constexpr int64_t kColumns = 64;
  std::mt19937 random(4);
  const EncodingRecord e = affine_encoding(4, 32, Element::u8, true, ZeroKind::u4);
  const std::vector<float> silent(2 * 32 * 32), loud(2 * 32 * 32, 1e30f);
  for (const float size : {0.0f, 1e-38f, 1.0f, 1e38f})
    for (const auto* blocks : {&silent, &loud}) {
      std::vector<float> w = gaussians(kClipRows * kColumns, size / 4, &random);
      for (int64_t k = 0; k < 32; k++) w[static_cast<size_t>(5 * kColumns + k)] = 0;
      const Coded clipped = code(e, w, kColumns, {Range::clip, nullptr, blocks->data()});
      const Coded plain = code(e, w, kColumns, {Range::minmax});
      std::vector<float> decoded(kColumns);
      for (int64_t row = 0; row < kClipRows; row++) {
        decode_row(clipped.part.view(), row, decoded.data());
        for (size_t k = 0; k < kColumns; k++) {
          EXPECT_TRUE(std::isfinite(decoded[k]));
          if (row == 5 && k < 32) {
            EXPECT_EQ(decoded[k], 0);
          }
        }
      }
      // Nobody listens: nothing to win by clipping.
      if (blocks == &silent) {
        EXPECT_EQ(clipped.part.planes, plain.part.planes);
      }
    }
}

}  // namespace
}  // namespace sqf

// GPTQ against its definition, by hand and in every order; what it must leave alone, what it must
// survive, what it must refuse.
#include <array>
#include <atomic>
#include <thread>

#include "converter/methods/gptq_spread.hpp"
#include "converter/methods/lanes.hpp"
#include "tests/converter/gptq_reference.hpp"

namespace sqf {
namespace {

Problem problem(const EncodingRecord& e, int64_t rows, int64_t columns, uint32_t seed) {
  std::mt19937 random(seed);
  const std::vector<float> mix = gaussians(columns / 4 * columns, 1, &random);
  std::vector<float> loudness = gaussians(columns, 0.7f, &random);
  for (float& x : loudness) x = std::exp(x);
  const auto x = activations(8 * columns, columns, columns / 4, mix, loudness, &random);
  const bool whole_scales = e.scale_type == Element::u8 && e.row_factor == 0;
  return {e,
          rows,
          columns,
          gram_of(x, columns),
          gaussians(rows * columns, whole_scales ? 100.0f : 0.02f, &random),
          {},
          {},
          {}};
}

const std::vector<EncodingRecord>& encodings() {
  static const std::array<float, 3> kTernary = {-1, 0, 1};
  static const std::array<float, 4> kLopsided = {-3, -1, 0.5f, 4};
  static const std::vector<EncodingRecord> all = {
      affine_encoding(4, 32, Element::u8, true, ZeroKind::u4),
      affine_encoding(4, 0, Element::f32, false, ZeroKind::constant),
      affine_encoding(4, 32, Element::f32, false, ZeroKind::constant),
      affine_encoding(3, 64, Element::f16, false, ZeroKind::minimum_f16),
      affine_encoding(1, 32, Element::bf16, false, ZeroKind::u8),
      affine_encoding(8, 96, Element::u8, false, ZeroKind::constant),
      minifloat_encoding(2, 1, MinifloatKind::ocp, 32, Element::e8m0, false),
      minifloat_encoding(4, 3, MinifloatKind::ocp, 0, Element::f32, false),
      levels_encoding(kTernary, 128, Element::f16, false),
      levels_encoding(kLopsided, 32, Element::e4m3, true),
  };
  return all;
}

constexpr GptqOrder kOrders[] = {GptqOrder::natural, GptqOrder::ascending, GptqOrder::descending};

TEST(Gptq, WorkedByHand) {
  // Columns 0 and 1 go together: what is left of the second best makes up for half of the first.
  const std::vector<double> gram = {1, 0.5, 0, 0.5, 1, 0, 0, 0, 1};
  const std::vector<float> w = {0.4f, 0.4f, 7};
  const EncodingRecord e = affine_encoding(4, 0, Element::f32, false, ZeroKind::constant);
  const QuantizeOptions options = {Range::minmax, nullptr};
  const Rounded all = gptq(e, 1, w, input_of(gram, 3, {}, {GptqOrder::natural, 0}), options);
  EXPECT_EQ(joined(all, 3, {}), (std::vector<float>{0, 1, 7}));  // 0.6 is rounded
  EXPECT_NEAR(all.stats.squared_error, 0.16 + 0.36, 1e-6);
  const std::vector<uint32_t> kept = {1};
  const Rounded rest = gptq(e, 1, w, input_of(gram, 3, kept, {GptqOrder::natural, 0}), options);
  EXPECT_NEAR(rest.kept[0], 0.6f, 0x1p-22f);
  const Rounded alone = plain(e, 1, w, 3, {}, options);
  EXPECT_EQ(joined(alone, 3, {}), (std::vector<float>{0, 0, 7}));
}

TEST(Gptq, FollowsItsDefinition) {
  for (const EncodingRecord& e : encodings())
    for (const GptqOrder order : kOrders)
      for (const Range range : {Range::minmax, Range::search}) {
        Problem p = problem(e, 19, 70, 1);
        p.gptq.order = order;
        p.quantize.range = range;
        expect_by_definition(p);
        p.kept = {0, 3, 31, 32, 69};
        expect_by_definition(p);
      }
  expect_by_definition(problem(encodings()[1], 1, 4, 2));
}

TEST(Gptq, BlocksAndGroupsOfAnyLength) {
  for (const uint32_t group : {32u, 96u, 128u, 160u, 256u, 0u}) {
    const EncodingRecord e = affine_encoding(4, group, Element::f32, false, ZeroKind::constant);
    Problem p = problem(e, 3, 200, group);
    p.quantize.range = Range::minmax;
    p.gptq.damping = 0.05;
    p.kept = {5, 100, 199};
    expect_by_definition(p);
  }
}

TEST(Gptq, UnrelatedColumnsAreRoundedPlainly) {
  constexpr int64_t kColumns = 200, kRows = 21;
  std::vector<double> gram(kColumns * kColumns);
  for (size_t i = 0; i < kColumns; i++) gram[i * (kColumns + 1)] = 37;
  for (const EncodingRecord& e : encodings())
    for (const GptqOrder order : kOrders)
      for (const Range range : {Range::minmax, Range::search}) {
        const Problem p = problem(e, kRows, kColumns, 3);
        const std::vector<uint32_t> kept = {1, 150};
        std::vector<float> importance(kColumns - 2);
        for (size_t i = 0; i < importance.size(); i++)
          importance[i] = 1 + static_cast<float>(i % 5);
        const QuantizeOptions options = {range, importance.data()};
        const Rounded a =
            gptq(e, kRows, p.w, input_of(gram, kColumns, kept, {order, 0.01}), options);
        const Rounded b = plain(e, kRows, p.w, kColumns, kept, options);
        EXPECT_TRUE(a.same_bytes(b)) << describe(e);
        EXPECT_NEAR(a.stats.squared_error, b.stats.squared_error, 1e-4 * b.stats.squared_error);
        EXPECT_EQ(a.stats.saturated, b.stats.saturated);
        EXPECT_EQ(a.stats.underflowed, b.stats.underflowed);
      }
}

TEST(Gptq, DeadColumnsAreRoundedAndStayOutOfIt) {
  constexpr int64_t kColumns = 60;
  const EncodingRecord e = affine_encoding(4, 0, Element::f32, false, ZeroKind::constant);
  for (const GptqOrder order : kOrders) {
    Problem p = problem(e, 16, kColumns, 4);
    p.gptq.order = order;
    for (const size_t dead : {0u, 7u, 59u})
      for (size_t k = 0; k < kColumns; k++)
        p.gram[dead * kColumns + k] = p.gram[k * kColumns + dead] = 0;
    EXPECT_EQ(input_of(p.gram, kColumns, {}, p.gptq).dead, 3);
    expect_by_definition(p);
    p.kept = {7, 20};
    expect_by_definition(p);
    const Rounded rounded = gptq(e, 16, p.w, input_of(p.gram, kColumns, p.kept, p.gptq), {});
    for (size_t row = 0; row < 16; row++) EXPECT_EQ(rounded.kept[row * 2], p.w[row * kColumns + 7]);
  }
  // All of them: no activation ever spoke.
  const Problem p = problem(e, 16, kColumns, 4);
  const GptqInput silent = input_of(std::vector<double>(kColumns * kColumns), kColumns, {}, {});
  EXPECT_EQ(silent.dead, kColumns);
  EXPECT_TRUE(gptq(e, 16, p.w, silent, {}).same_bytes(plain(e, 16, p.w, kColumns, {}, {})));
}

TEST(Gptq, FewerTokensThanColumns) {
  constexpr int64_t kColumns = 96;
  std::mt19937 random(5);
  Problem p = problem(encodings()[0], 16, kColumns, 5);
  p.gram = gram_of(gaussians(20 * kColumns, 1, &random), kColumns);
  expect_by_definition(p);
  // Without damping there is no factor: some is found, and told.
  const GptqInput found = input_of(p.gram, kColumns, {}, {GptqOrder::natural, 0});
  EXPECT_GT(found.damping, 0);
  const GptqInput asked = input_of(p.gram, kColumns, {}, {GptqOrder::natural, found.damping});
  EXPECT_EQ(found.upper, asked.upper);
}

TEST(Gptq, TheScaleOfTheGramDoesNotMatter) {
  Problem p = problem(encodings()[0], 16, 64, 6);
  const GptqInput one = input_of(p.gram, 64, {}, {});
  for (double& x : p.gram) x *= 0x1p200;
  EXPECT_EQ(one.upper, input_of(p.gram, 64, {}, {}).upper);
}

TEST(Gptq, AnyNumberOfThreadsGivesTheSameBytes) {
  const Problem p = problem(encodings()[0], 150, 300, 7);
  const std::vector<uint32_t> kept = {3, 77};
  const GptqInput input = input_of(p.gram, p.columns, kept, {GptqOrder::ascending, 0.01});
  const Rounded one = gptq(p.e, p.rows, p.w, input, {});
  Rounded many = {allocate_part(p.e, p.rows, p.columns - 2), std::vector<float>(300), {}};
  std::atomic<int64_t> next = 0;
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; i++)
    threads.emplace_back([&] {
      QuantizeStats stats;
      for (int64_t tile = next++; tile < tiles_of(p.rows); tile = next++)
        gptq_tile(p.w.data() + tile * kTileRows * p.columns, tile, rows_of_tile(p.rows, tile),
                  input, {}, &many.part, many.kept.data() + tile * kTileRows * 2, &stats);
    });
  threads.clear();
  EXPECT_TRUE(many.same_bytes(one));
}

TEST(Gptq, EveryInstructionSetSpreadsAlike) {
  std::mt19937 random(8);
  ASSERT_EQ(spread_kernels().size(), lane_kernels().size());
  for (const int64_t count : {1, 7, 8, 27, 128})
    for (const int64_t columns : {1, 5, 300, 700}) {
      const std::vector<float> error = gaussians(count * kTileRows, 1, &random);
      const std::vector<float> upper = gaussians(count * columns, 1, &random);
      const std::vector<float> x = gaussians(columns * kTileRows, 1, &random);
      std::vector<float> expected = x;
      for (size_t j = 0; j < static_cast<size_t>(count); j++)
        for (size_t i = kTileRows; i < x.size(); i++) {
          const float off = error[j * kTileRows + i % kTileRows] *
                            upper[j * static_cast<size_t>(columns) + i / kTileRows];
          expected[i] -= off;
        }
      for (const SpreadKernel kernel : spread_kernels()) {
        std::vector<float> out = x;
        kernel({error.data(), count, upper.data(), columns, 1, columns, out.data()});
        EXPECT_EQ(out, expected);
      }
    }
}

TEST(Gptq, WeightsAtTheEndOfF32StayNumbers) {
  Problem p = problem(affine_encoding(4, 32, Element::f32, false, ZeroKind::constant), 16, 64, 9);
  for (float& w : p.w) w = std::copysign(3e38f, w);
  p.kept = {63};
  const GptqInput input = input_of(p.gram, 64, p.kept, {});
  for (const Range range : {Range::minmax, Range::search}) {
    const Rounded rounded = gptq(p.e, 16, p.w, input, {range, nullptr});
    for (const float w : joined(rounded, 64, p.kept)) EXPECT_TRUE(std::isfinite(w));
  }
}

TEST(Gptq, RefusesWhatHasNoFactor) {
  const auto message = [](std::vector<double> gram, int64_t columns, std::vector<uint32_t> kept,
                          double damping) {
    const auto input = gptq_input(std::move(gram), columns, kept, {GptqOrder::natural, damping});
    return input ? "accepted" : input.error().message;
  };
  const std::vector<double> good = {1, 0, 0, 1};
  EXPECT_EQ(message(good, 2, {}, 0), "accepted");
  EXPECT_NE(message(good, 3, {}, 0).find("4 numbers for 3 columns"), std::string::npos);
  EXPECT_NE(message({}, 0, {}, 0).find("for 0 columns"), std::string::npos);
  EXPECT_NE(message(good, 2, {0, 1}, 0).find("none left"), std::string::npos);
  EXPECT_NE(message(good, 2, {2}, 0).find("below 2"), std::string::npos);
  EXPECT_NE(message(std::vector<double>(9), 3, {1, 0}, 0).find("ascend"), std::string::npos);
  EXPECT_NE(message(good, 2, {}, -0.1).find("[0, 1]"), std::string::npos);
  EXPECT_NE(message(good, 2, {}, std::nan("")).find("[0, 1]"), std::string::npos);
  EXPECT_NE(message({1, 0, 0, -1}, 2, {}, 0).find("below 0"), std::string::npos);
  EXPECT_NE(message({1, std::nan(""), 0, 1}, 2, {}, 0).find("not finite"), std::string::npos);
  // Correlated by far more than their lengths allow: no Gram matrix.
  EXPECT_NE(message({1, 1e6, 1e6, 1}, 2, {}, 0.01).find("not positive"), std::string::npos);
}

}  // namespace
}  // namespace sqf

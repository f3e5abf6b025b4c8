// The search for scales against the plain range, and against every scale tried one by one.
#include <array>
#include <cfloat>

#include "converter/quant_spec.hpp"
#include "tests/converter/grid_cases.hpp"

namespace sqf {
namespace {

TEST(Grids, SearchIsNeverWorseInAnyRow) {
  std::vector<float> importance(107);
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  for (float& x : importance) x = std::exp(normal(random));
  each_encoding([&](const EncodingRecord& e) {
    const Shape shape = {16, 107};
    const std::vector<float> w = weights(shape, size_for(e), 2);
    const Encoded plain = encode(e, shape, w, {Range::minmax, nullptr});
    for (const float* weight : std::array<const float*, 2>{nullptr, importance.data()}) {
      const Encoded searched = encode(e, shape, w, {Range::search, weight});
      for (size_t row = 0; row < 16; row++)
        ASSERT_LE(row_error(w, searched.decoded, row, 107, weight),
                  row_error(w, plain.decoded, row, 107, weight) * (1 + 1e-6))
            << describe(e) << " row " << row;
    }
  });
}

TEST(Grids, SearchGainsWhereItShould) {
  const Shape shape = {64, 480};
  const std::vector<float> w = weights(shape, 0.1f, 3);
  const struct {
    const char* spec;
    double at_most;  // of the plain range's squared error
  } cases[] = {{"grid=binary,scale=f16", 0.1},
               {"grid=ternary,scale=f16", 0.4},
               {"grid=five,scale=f16", 0.45},
               {"grid=nf4,scale=f16", 0.85},
               {"grid=nf4", 0.9},
               {"grid=e2m1,scale=f16", 0.87},
               {"grid=e2m1,scale=e8m0", 0.9},
               {"grid=e2m1,scale=e8m0,factor=none", 0.87},
               {"grid=e3m0,scale=f16", 0.85},
               {"grid=e4m3,scale=f16", 0.65},
               {"grid=levels:-1/0/2,scale=f16", 0.4}};
  for (const auto& c : cases) {
    const EncodingRecord e = parse_spec(c.spec, {})->encoding();
    const Encoded plain = encode(e, shape, w, {Range::minmax, nullptr});
    const Encoded searched = encode(e, shape, w, {Range::search, nullptr});
    EXPECT_LT(searched.stats.squared_error, c.at_most * plain.stats.squared_error) << c.spec;
  }
}

/// The least error of one group at any of many scales.
double best_by_trying(const std::vector<CodeLevel>& codes, const float* w, size_t size) {
  double largest = 0, best = DBL_MAX;
  for (size_t k = 0; k < size; k++)
    largest = std::max(largest, std::fabs(static_cast<double>(w[k])));
  for (int i = 1; i <= 2000; i++) {
    const double size_of_scale = largest / reach_of(codes) * 3 * i / 2000;
    for (const double scale : {size_of_scale, -size_of_scale}) {
      double error = 0;
      for (size_t k = 0; k < size && error < best; k++) {
        const double t = static_cast<double>(w[k]) / scale;
        const auto above = std::ranges::lower_bound(codes, t, {}, &CodeLevel::value);
        double off = DBL_MAX;
        if (above != codes.end()) off = above->value - t;
        if (above != codes.begin()) off = std::min(off, t - std::prev(above)->value);
        error += off * off * scale * scale;
      }
      best = std::min(best, error);
    }
  }
  return best;
}

TEST(Grids, SearchComesNearTheBestOfAllScales) {
  const Shape shape = {48, 32};
  const std::vector<float> w = weights(shape, 0.1f, 10);
  for (EncodingRecord e : all_grids()) {
    e.scale_type = Element::f32;
    e.group = 0;
    const Encoded searched = encode(e, shape, w, {Range::search, nullptr});
    const std::vector<CodeLevel> codes = codes_of(e);
    double best = 0;
    for (size_t row = 0; row < 48; row++) best += best_by_trying(codes, w.data() + row * 32, 32);
    // With many mantissa bits the least of 4000 tries owes much to luck.
    const double most = e.mantissa_bits <= 3 ? 1.03 : 1.1;
    EXPECT_LE(searched.stats.squared_error, most * best) << describe(e);
  }
}

TEST(Grids, BinaryTakesTheWeightedMean) {
  const Shape shape = {5, 64};
  const std::vector<float> w = weights(shape, 0.1f, 4);
  std::vector<float> importance(64);
  for (size_t k = 0; k < 64; k++) importance[k] = 1 + static_cast<float>(k % 7);
  const EncodingRecord e = parse_spec("grid=binary,scale=f32", {})->encoding();
  const Encoded encoded = encode(e, shape, w, {Range::search, importance.data()});
  for (int64_t row = 0; row < 5; row++)
    for (int64_t group = 0; group < 2; group++) {
      double sum = 0, count = 0;
      for (size_t k = 0; k < 32; k++) {
        const size_t column = static_cast<size_t>(group * 32) + k;
        const double weight = static_cast<double>(importance[column]);
        sum += weight * std::fabs(static_cast<double>(w[static_cast<size_t>(row) * 64 + column]));
        count += weight;
      }
      const float scale = group_parameters(encoded.part.view(), row, group).scale;
      EXPECT_NEAR(std::fabs(scale), sum / count, 1e-6 * sum / count);
    }
}

}  // namespace
}  // namespace sqf

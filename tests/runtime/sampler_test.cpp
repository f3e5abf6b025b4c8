// What each cut keeps, that draws follow the probabilities, and that a seed repeats.
#include "runtime/sampler.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

namespace sqf {
namespace {

std::map<int32_t, int> draws(const SamplerOptions& options, const std::vector<float>& logits,
                             int n) {
  Sampler sampler(options);
  std::map<int32_t, int> counts;
  for (int i = 0; i < n; i++) counts[sampler.next(logits)]++;
  return counts;
}

const std::vector<float> kLogits = {std::log(0.5f), std::log(0.05f), std::log(0.3f),
                                    std::log(0.15f)};

TEST(Sampler, GreedyTakesTheFirstOfTheLargest) {
  EXPECT_EQ(greedy(std::vector<float>{1, 3, 3, 2}), 1);
  EXPECT_EQ(draws({.temperature = 0}, kLogits, 5), (std::map<int32_t, int>{{0, 5}}));
}

TEST(Sampler, FollowsTheProbabilities) {
  const auto counts = draws({.temperature = 1, .top_k = 0, .top_p = 1, .min_p = 0}, kLogits, 40000);
  const double expected[] = {0.5, 0.05, 0.3, 0.15};
  for (int32_t i = 0; i < 4; i++) {
    const double p = expected[i];
    // Five standard deviations of a binomial; the seed is fixed.
    EXPECT_NEAR(counts.at(i), 40000 * p, 5 * std::sqrt(40000 * p * (1 - p)));
  }
}

TEST(Sampler, EachCutKeepsWhatItSays) {
  EXPECT_EQ(draws({.temperature = 1, .top_k = 2, .top_p = 1, .min_p = 0}, kLogits, 2000).size(),
            2u);
  EXPECT_EQ(draws({.temperature = 1, .top_k = 0, .top_p = 0.79f, .min_p = 0}, kLogits, 2000).size(),
            2u);
  EXPECT_EQ(draws({.temperature = 1, .top_k = 0, .top_p = 0.81f, .min_p = 0}, kLogits, 2000).size(),
            3u);
  EXPECT_EQ(draws({.temperature = 1, .top_k = 0, .top_p = 1, .min_p = 0.2f}, kLogits, 2000).size(),
            3u);
  EXPECT_EQ(draws({.temperature = 9, .top_k = 0, .top_p = 0, .min_p = 0}, kLogits, 50).size(), 1u);
}

TEST(Sampler, SameSeedSameTokens) {
  Sampler a({.temperature = 1, .seed = 5}), b({.temperature = 1, .seed = 5}),
      c({.temperature = 1, .seed = 6});
  int differ = 0;
  for (int i = 0; i < 100; i++) {
    const int32_t token = a.next(kLogits);
    EXPECT_EQ(token, b.next(kLogits));
    differ += token != c.next(kLogits);
  }
  EXPECT_GT(differ, 0);
}

TEST(Sampler, LogProbabilitiesSumToOne) {
  double sum = 0;
  for (int32_t i = 0; i < 4; i++) sum += std::exp(log_probability(kLogits, i));
  EXPECT_NEAR(sum, 1, 1e-12);
}

}  // namespace
}  // namespace sqf

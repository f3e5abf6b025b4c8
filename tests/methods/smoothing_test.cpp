// The formulas of smoothing, and the words for where it is done.
#include "converter/smoothing.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace sqf {
namespace {

ChannelSizes random_sizes(size_t columns, unsigned seed) {
  std::mt19937 random(seed);
  std::lognormal_distribution<double> size(0, 1.5);
  ChannelSizes sizes;
  for (size_t k = 0; k < columns; k++) {
    sizes.abs_max.push_back(size(random));
    sizes.mean_abs.push_back(0.3 * sizes.abs_max.back());
    sizes.weight.push_back(0.05 * size(random));
  }
  return sizes;
}

double half_step(double x) {
  return x * 0x1p-23;
}

TEST(Smoothing, HalfWayBothSidesHaveTheSameMaxima) {
  const ChannelSizes sizes = random_sizes(200, 1);
  for (const SmoothMethod method : {SmoothMethod::smoothquant, SmoothMethod::smoothquant_plus}) {
    const std::vector<float> s = smoothing_factors(method, 0.5, sizes);
    for (size_t k = 0; k < s.size(); k++) {
      const double middle = std::sqrt(sizes.abs_max[k] * sizes.weight[k]);
      EXPECT_NEAR(sizes.abs_max[k] / double{s[k]}, middle, half_step(middle));
      EXPECT_NEAR(sizes.weight[k] * double{s[k]}, middle, half_step(middle));
    }
  }
}

TEST(Smoothing, TheEndsOfTheExponent) {
  const ChannelSizes sizes = random_sizes(50, 2);
  const auto none = smoothing_factors(SmoothMethod::smoothquant, 0, sizes);
  const auto all = smoothing_factors(SmoothMethod::smoothquant, 1, sizes);
  for (size_t k = 0; k < none.size(); k++) {
    EXPECT_NEAR(none[k], 1 / sizes.weight[k], half_step(1 / sizes.weight[k]));
    EXPECT_NEAR(all[k], sizes.abs_max[k], half_step(sizes.abs_max[k]));
  }
  for (const float s : smoothing_factors(SmoothMethod::awq, 0, sizes)) EXPECT_EQ(s, 1);
}

TEST(Smoothing, SilentAndUnweighedChannelsAreLeftAlone) {
  for (const SmoothMethod method :
       {SmoothMethod::smoothquant, SmoothMethod::smoothquant_plus, SmoothMethod::awq})
    for (const double alpha : {0.0, 0.3, 1.0}) {
      ChannelSizes sizes = random_sizes(40, 3);
      const auto before = smoothing_factors(method, alpha, sizes);
      sizes.abs_max[7] = sizes.mean_abs[7] = 0;
      sizes.weight[20] = 0;
      const auto s = smoothing_factors(method, alpha, sizes);
      EXPECT_EQ(s[7], 1);
      EXPECT_EQ(s[20], 1);
      // They do not move the others: neither was the smallest or the largest.
      for (const size_t k : {size_t{0}, size_t{8}, size_t{39}}) {
        if (method != SmoothMethod::awq) {
          EXPECT_EQ(s[k], before[k]);
        }
      }
      for (const float factor : s) EXPECT_TRUE(std::isfinite(factor) && factor > 0);
    }
  // Nothing but silence.
  ChannelSizes silent;
  silent.abs_max = silent.mean_abs = silent.weight = {0, 0, 0};
  for (const float s : smoothing_factors(SmoothMethod::awq, 0.5, silent)) EXPECT_EQ(s, 1);
}

TEST(Smoothing, FactorsStayInRange) {
  ChannelSizes sizes = random_sizes(8, 4);
  sizes.abs_max[0] = 1e30;
  sizes.abs_max[1] = 1e-30;
  sizes.weight[2] = 1e-30;
  sizes.mean_abs[0] = 1e30;
  for (const SmoothMethod method : {SmoothMethod::smoothquant, SmoothMethod::awq})
    for (const double alpha : {0.0, 0.5, 1.0})
      for (const float s : smoothing_factors(method, alpha, sizes)) {
        EXPECT_GE(s, 1e-4f);
        EXPECT_LE(s, 1e4f);
      }
}

TEST(Smoothing, AwqIsCentred) {
  const ChannelSizes sizes = random_sizes(100, 5);
  for (const double alpha : {0.25, 0.5, 1.0}) {
    const auto s = smoothing_factors(SmoothMethod::awq, alpha, sizes);
    const auto [least, most] = std::ranges::minmax(s);
    EXPECT_NEAR(least * most, 1, 1e-6);
    EXPECT_GT(most / least, 3);
    for (size_t k = 1; k < s.size(); k++) {
      const double expected = std::pow(sizes.mean_abs[k] / sizes.mean_abs[0], alpha);
      EXPECT_NEAR(s[k] / s[0], expected, 1e-6 * expected);
    }
  }
}

ModelDescription heads(int64_t count, int64_t kv, int64_t dim) {
  ModelDescription d;
  d.heads = count;
  d.kv_heads = kv;
  d.head_dim = dim;
  return d;
}

TEST(Smoothing, HeadsOfOneValueHeadShareTheirSizes) {
  // Two value heads of 2 channels, three readers each.
  const ModelDescription d = heads(6, 2, 2);
  ChannelSizes sizes;
  for (int k = 0; k < 12; k++) {
    sizes.abs_max.push_back(k + 1);
    sizes.mean_abs.push_back(3 * k);
    sizes.weight.push_back(12 - k);
  }
  pool_heads(d, &sizes);
  const std::vector<double> top = {5, 6, 5, 6, 5, 6, 11, 12, 11, 12, 11, 12};
  const std::vector<double> mean = {6, 9, 6, 9, 6, 9, 24, 27, 24, 27, 24, 27};
  const std::vector<double> weight = {12, 11, 12, 11, 12, 11, 6, 5, 6, 5, 6, 5};
  EXPECT_EQ(sizes.abs_max, top);
  EXPECT_EQ(sizes.mean_abs, mean);
  EXPECT_EQ(sizes.weight, weight);
  const auto s = smoothing_factors(SmoothMethod::smoothquant, 0.5, sizes);
  const auto rows = value_rows(d, s);
  EXPECT_EQ(rows, (std::vector<float>{s[0], s[1], s[6], s[7]}));
  // What reader r of value head h sees is divided by what its columns are multiplied by.
  for (size_t k = 0; k < s.size(); k++) EXPECT_EQ(s[k], rows[k / 6 * 2 + k % 2]) << k;
}

TEST(Smoothing, WithoutSharedHeadsNothingIsPooled) {
  const ModelDescription d = heads(4, 4, 8);
  ChannelSizes sizes = random_sizes(32, 6);
  const ChannelSizes before = sizes;
  pool_heads(d, &sizes);
  EXPECT_EQ(sizes.abs_max, before.abs_max);
  EXPECT_EQ(sizes.mean_abs, before.mean_abs);
  EXPECT_EQ(sizes.weight, before.weight);
  const auto s = smoothing_factors(SmoothMethod::awq, 0.5, sizes);
  EXPECT_EQ(value_rows(d, s), s);
}

TEST(Smoothing, WordsForSites) {
  using enum SmoothState;
  const std::pair<const char*, std::array<SmoothState, 4>> good[] = {
      {"qkv", {folded, none, none, none}},
      {"down,o:apply", {none, apply, none, folded}},
      {"qkv:apply,o:apply,gate_up:apply,down:apply", {apply, apply, apply, apply}},
  };
  for (const auto& [words, expected] : good) {
    auto sites = parse_sites(words);
    ASSERT_TRUE(sites) << sites.error().message;
    EXPECT_EQ(*sites, expected);
    auto again = parse_sites(sites_text(*sites));
    ASSERT_TRUE(again);
    EXPECT_EQ(*again, expected);
  }
  EXPECT_EQ(sites_text(*parse_sites("down,o:apply")), "o:apply,down");
  const std::pair<const char*, const char*> bad[] = {
      {"fc1", "\"fc1\""},
      {"", "\"\""},
      {"qkv,", "\"\""},
      {"qkv,QKV", "\"QKV\""},
      {"o:run", "\"o:run\""},
      {"o:", "\"o:\""},
      {"o:apply:apply", "o:apply:"},
      {" o", "\" o\""},
      {"o,qkv,o:apply", "\"o\""},
  };
  for (const auto& [words, name] : bad) {
    auto sites = parse_sites(words);
    ASSERT_FALSE(sites) << words;
    EXPECT_EQ(sites.error().code, Code::usage);
    EXPECT_NE(sites.error().message.find(name), std::string::npos) << sites.error().message;
  }
}

}  // namespace
}  // namespace sqf

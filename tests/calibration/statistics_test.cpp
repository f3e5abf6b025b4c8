// Statistics against plain sums over what the blocks show, for any number of threads.
#include "converter/calibration/statistics.hpp"

#include <limits>

#include "converter/calibration/block.hpp"
#include "tests/calibration/random_model.hpp"
#include "tests/loader/sample_file.hpp"

namespace sqf {
namespace {

constexpr int64_t kWindows = 5, kLength = 21;

CalibrationTokens tokens_for(const RandomModel& model) {
  CalibrationTokens tokens;
  tokens.windows = kWindows;
  tokens.length = kLength;
  tokens.ids = random_tokens(kWindows * kLength, 4, model.description.vocab_size);
  return tokens;
}

/// All values that every input reads, [tokens][columns] by input.
std::vector<std::vector<float>> inputs_of(const RandomModel& model,
                                          const CalibrationTokens& tokens) {
  const ModelDescription& d = model.description;
  const BlockContext context(d, kLength);
  BlockScratch scratch(context);
  std::vector<std::vector<float>> inputs(static_cast<size_t>(4 * d.layers + 1));
  const auto norm = read_final_norm(model.source, d);
  for (int64_t w = 0; w < kWindows; w++) {
    std::vector<float> x(static_cast<size_t>(kLength * d.hidden_size));
    EXPECT_TRUE(embed_tokens(model.source, d, tokens.window(w), x.data()));
    for (int64_t layer = 0; layer < d.layers; layer++)
      Block::read(model.source, context, layer)
          ->forward(context, x.data(), scratch,
                    [&](int64_t input, const float* at, int64_t count, int64_t columns) {
                      auto& all = inputs[static_cast<size_t>(input)];
                      all.insert(all.end(), at, at + count * columns);
                    });
    for (int64_t t = 0; t < kLength; t++) {
      double squares = 0;
      for (int64_t k = 0; k < d.hidden_size; k++)
        squares += std::pow(x[static_cast<size_t>(t * d.hidden_size + k)], 2);
      for (int64_t k = 0; k < d.hidden_size; k++)
        inputs.back().push_back(static_cast<float>(
            x[static_cast<size_t>(t * d.hidden_size + k)] * (*norm)[static_cast<size_t>(k)] /
            std::sqrt(squares / static_cast<double>(d.hidden_size) + d.norm_epsilon)));
    }
  }
  return inputs;
}

TEST(Statistics, AreThoseOfAPlainSum) {
  for (const auto& [name, changes] : model_variants()) {
    const RandomModel model(changes);
    const CalibrationTokens tokens = tokens_for(model);
    std::vector<std::vector<double>> grams;
    StatisticsOptions options;
    options.threads = 2;
    options.gram = [&](int64_t input, std::vector<double> gram) {
      EXPECT_EQ(input, static_cast<int64_t>(grams.size()));
      grams.push_back(std::move(gram));
    };
    auto statistics = gather_statistics(model.source, model.description, tokens, options);
    ASSERT_TRUE(statistics) << name << ": " << statistics.error().message;
    const auto inputs = inputs_of(model, tokens);
    ASSERT_EQ(statistics->inputs.size(), inputs.size());
    ASSERT_EQ(grams.size(), inputs.size());
    EXPECT_EQ(statistics->count(), kWindows * kLength);
    for (size_t i = 0; i < inputs.size(); i++) {
      const InputStatistics& s = statistics->inputs[i];
      const auto columns = inputs[i].size() / static_cast<size_t>(kWindows * kLength);
      ASSERT_EQ(s.columns(), static_cast<int64_t>(columns)) << name << " " << i;
      ASSERT_EQ(grams[i].size(), columns * columns);
      for (size_t k = 0; k < columns; k++) {
        double largest = 0, abs = 0, square = 0;
        for (size_t at = k; at < inputs[i].size(); at += columns) {
          const double v = inputs[i][at];
          largest = std::max(largest, std::abs(v));
          abs += std::abs(v);
          square += v * v;
        }
        const double n = kWindows * kLength;
        // The head's input goes through a norm of our own here: f32's rounding.
        EXPECT_NEAR(s.abs_max[k], largest, largest * 1e-6);
        EXPECT_NEAR(s.mean_abs[k], abs / n, abs / n * 1e-6);
        EXPECT_NEAR(s.mean_square[k], square / n, square / n * 1e-6);
        // One f32 product over 21 tokens per window.
        EXPECT_NEAR(grams[i][k * columns + k], square, square * 21 * 0x1p-23);
        const size_t other = (k * 7 + 1) % columns;
        double cross = 0, size = 0;
        for (size_t t = 0; t < inputs[i].size(); t += columns) {
          cross += double{inputs[i][t + k]} * double{inputs[i][t + other]};
          size += std::abs(double{inputs[i][t + k]} * double{inputs[i][t + other]});
        }
        EXPECT_NEAR(grams[i][k * columns + other], cross, size * 21 * 0x1p-23);
      }
    }
  }
}

TEST(Statistics, AreTheSameBitsForAnyNumberOfThreads) {
  const RandomModel model(Json::object());
  const CalibrationTokens tokens = tokens_for(model);
  std::vector<Statistics> all;
  std::vector<std::vector<std::vector<double>>> grams;
  const TemporaryFolder folder;
  for (const int threads : {1, 2, 3, 16}) {
    StatisticsOptions options;
    options.threads = threads;
    if (threads > 2) options.spill = folder / "spill";
    grams.emplace_back();
    options.gram = [&](int64_t, std::vector<double> gram) { grams.back().push_back(gram); };
    auto statistics = gather_statistics(model.source, model.description, tokens, options);
    ASSERT_TRUE(statistics);
    all.push_back(std::move(*statistics));
  }
  for (size_t i = 1; i < all.size(); i++) {
    EXPECT_EQ(grams[i], grams[0]);
    for (size_t input = 0; input < all[0].inputs.size(); input++) {
      EXPECT_EQ(all[i].inputs[input].abs_max, all[0].inputs[input].abs_max);
      EXPECT_EQ(all[i].inputs[input].mean_abs, all[0].inputs[input].mean_abs);
      EXPECT_EQ(all[i].inputs[input].mean_square, all[0].inputs[input].mean_square);
    }
  }
}

TEST(Statistics, ProgressRisesAndStops) {
  const RandomModel model(Json::object());
  const CalibrationTokens tokens = tokens_for(model);
  for (const int threads : {1, 3}) {
    StatisticsOptions options;
    options.threads = threads;
    std::vector<uint64_t> seen;
    options.progress = [&](uint64_t done, uint64_t all) {
      EXPECT_EQ(all, 4u * kWindows);
      seen.push_back(done);
      return true;
    };
    ASSERT_TRUE(gather_statistics(model.source, model.description, tokens, options));
    EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
    EXPECT_EQ(seen.back(), 4u * kWindows);
    for (const size_t stop : {size_t{1}, size_t{2}, seen.size() / 2}) {
      size_t calls = 0;
      options.progress = [&](uint64_t, uint64_t) { return ++calls < stop; };
      auto r = gather_statistics(model.source, model.description, tokens, options);
      if (threads == 1 || stop == 1) {
        ASSERT_FALSE(r);
        EXPECT_EQ(r.error().code, Code::interrupted);
      }
    }
  }
}

TEST(Statistics, RefusesWhatCannotBe) {
  RandomModel model(Json::object());
  CalibrationTokens tokens = tokens_for(model);
  const auto gather = [&](const StatisticsOptions& options) {
    auto r = gather_statistics(model.source, model.description, tokens, options);
    return r ? "" : r.error().message;
  };
  StatisticsOptions little;
  const uint64_t needed = statistics_memory(model.description, kWindows, kLength, little);
  // At least the residual stream and one block.
  EXPECT_GT(needed, 4u * (kWindows * kLength * 64 + 64 * (3 * 96 + 3 * 64)));
  little.memory_limit = needed;
  EXPECT_EQ(gather(little), "");
  little.memory_limit = needed - 1;
  EXPECT_NE(gather(little).find("5 windows of 21 tokens takes"), std::string::npos);
  // In a file, all windows but the one at hand cost nothing.
  const TemporaryFolder folder;
  little.spill = folder / "spill";
  EXPECT_EQ(statistics_memory(model.description, kWindows, kLength, little),
            needed - 4 * (kWindows - 1) * kLength * 64);
  EXPECT_EQ(gather(little), "");

  auto& weights = model.values("model.layers.1.self_attn.o_proj.weight");
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    const float good = std::exchange(weights[5], bad);
    EXPECT_NE(gather({}).find("layer 1, input 2"), std::string::npos) << gather({});
    weights[5] = good;
  }
  EXPECT_EQ(gather({}), "");
  tokens.ids.back() = 264;
  EXPECT_EQ(gather({}), "token 264 is not in the vocabulary of 264");
  tokens.ids.pop_back();
  EXPECT_EQ(gather({}), "no calibration tokens");
  tokens.ids.assign(129, 0);
  tokens.windows = 1;
  tokens.length = 129;
  EXPECT_EQ(gather({}), "calibration windows of 129 tokens, the model's context is 128");
}

TEST(Statistics, ImportanceIsTheMeanSquare) {
  InputStatistics s;
  s.mean_square = {1, 2, 0, 5};
  EXPECT_EQ(s.importance(), (std::vector<float>{0.5f, 1.0f, 1e-6f, 2.5f}));
  s.mean_square = {0, 0};
  EXPECT_EQ(s.importance(), (std::vector<float>{1.0f, 1.0f}));
  s.mean_square = {1e-300, 3e-300};
  EXPECT_EQ(s.importance(), (std::vector<float>{0.5f, 1.5f}));
}

}  // namespace
}  // namespace sqf

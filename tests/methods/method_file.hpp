#pragma once
// A random model through a method, as sqconv takes it: statistics, plan, choices, file. Each call
// makes its model anew: pages that convert() has read are given back, which clears memory that no
// file stands behind.

#include <functional>

#include "converter/calibration/statistics_file.hpp"
#include "converter/convert.hpp"
#include "converter/recipe.hpp"
#include "converter/smoothing_search.hpp"
#include "runtime/engine.hpp"
#include "tests/calibration/random_model.hpp"
#include "tests/loader/sample_file.hpp"

namespace sqf {

constexpr int64_t kWindows = 6, kLength = 24;

struct MethodModel {
  Json config = Json::object();
  unsigned seed = 1;
  std::function<void(RandomModel&)> change = nullptr;  ///< of the weights, before anything is read

  std::unique_ptr<RandomModel> make() const {
    auto model = std::make_unique<RandomModel>(config, seed);
    if (change) change(*model);
    return model;
  }
};

/// Every 16th channel that a norm or up_proj hands on is this much louder than the others.
inline void make_loud(RandomModel& model, float loudness) {
  for (auto& [name, values] : model.storage) {
    const bool norm = name.find("layernorm") != name.npos, up = name.ends_with("up_proj.weight");
    if (!norm && !up) continue;
    const size_t step = norm ? 1 : static_cast<size_t>(model.description.hidden_size);
    for (size_t i = 0; i < values->size(); i++)
      if (i / step % 16 == 3) (*values)[i] *= loudness;
  }
}

inline CalibrationTokens random_windows(const ModelDescription& description) {
  CalibrationTokens tokens;
  tokens.windows = kWindows;
  tokens.length = kLength;
  tokens.ids = random_tokens(kWindows * kLength, 5, description.vocab_size);
  return tokens;
}

/// Options of a preset, changed by more words.
inline PlanOptions preset_options(const char* name, const char* words = "") {
  PlanOptions options;
  EXPECT_TRUE(apply_preset(*find_method(name), &options));
  if (*words == '\0') return options;
  auto linear = parse_spec(words, options.linear);
  EXPECT_TRUE(linear) << linear.error().message;
  options.linear = *linear;
  return options;
}

/// Smoothing alone: every tensor keeps the values that folding left it.
inline PlanOptions folding_options(SmoothMethod method, double alpha, const std::string& sites) {
  PlanOptions options;
  options.linear.method = options.head.method = Method::none;
  options.smoothing.method = method;
  options.smoothing.alpha = alpha;
  auto parsed = parse_sites(sites);
  EXPECT_TRUE(parsed) << parsed.error().message;
  options.smoothing.sites = *parsed;
  return options;
}

struct MethodFile {
  std::vector<InputChoice> choices;
  Statistics statistics;
  Json said;  ///< choices_json
};

inline ConvertOptions replacing(int threads = 1) {
  ConvertOptions options;
  options.replace = true;
  options.threads = threads;
  return options;
}

inline Result<MethodFile> write_method(const MethodModel& model, PlanOptions options,
                                       const std::filesystem::path& path,
                                       ConvertOptions convert_options = {}) {
  const auto made = model.make();
  const CalibrationTokens tokens = random_windows(made->description);
  MethodFile out;
  StatisticsOptions gather;
  gather.threads = convert_options.threads;
  gather.spill = convert_options.spill;
  auto statistics = gather_statistics(made->source, made->description, tokens, gather);
  if (!statistics) return statistics.error();
  out.statistics = std::move(*statistics);
  options.statistics = &out.statistics;
  auto plan = make_plan(made->source, options);
  if (!plan) return plan.error();
  SearchOptions search;
  search.threads = convert_options.threads;
  search.spill = convert_options.spill;
  auto choices = choose_inputs(made->source, *plan, out.statistics, tokens, search);
  if (!choices) return choices.error();
  out.choices = std::move(*choices);
  out.said = choices_json(*plan, out.choices);
  convert_options.choices = out.choices;
  convert_options.tokens = &tokens;
  auto written = convert(made->source, *plan, path, convert_options);
  if (!written) return written.error();
  return out;
}

inline std::vector<float> file_logits(const std::filesystem::path& path,
                                      const std::vector<int32_t>& tokens, bool exact) {
  auto file = ModelFile::open(path);
  EXPECT_TRUE(file) << file.error().message;
  auto engine = Engine::create(*file, {.threads = 1, .exact = exact, .context = 64});
  EXPECT_TRUE(engine) << engine.error().message;
  EXPECT_TRUE(engine->forward(tokens, LogitsOf::all_tokens));
  std::vector<float> out;
  for (size_t t = 0; t < tokens.size(); t++) {
    const auto logits = engine->logits(static_cast<int64_t>(t));
    out.insert(out.end(), logits.begin(), logits.end());
  }
  return out;
}

/// The largest distance as a share of the largest logit.
inline double relative_distance(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double largest = 0, distance = 0;
  for (size_t i = 0; i < a.size(); i++) {
    largest = std::max(largest, std::fabs(static_cast<double>(b[i])));
    distance = std::max(distance, std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  }
  return distance / largest;
}

}  // namespace sqf

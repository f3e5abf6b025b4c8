// The Hessians that GPTQ rounds by: of the activations as the folded tensors read them.
#include "converter/hessian_walk.hpp"
#include "tests/methods/method_file.hpp"

namespace sqf {
namespace {

struct Walked {
  std::unique_ptr<RandomModel> model;
  CalibrationTokens tokens;
  Statistics statistics;
  std::vector<std::vector<double>> grams;  ///< by input, of the source's own activations
  Plan plan;
  std::vector<InputChoice> choices;

  explicit Walked(PlanOptions options)
      : model(MethodModel{
            Json{{"num_hidden_layers", 2}, {"mlp_bias", true}}, 9,
            [](RandomModel& m) {
              make_loud(m, 6);
            }}.make()),
        tokens(random_windows(model->description)) {
    grams.resize(9);
    StatisticsOptions gather;
    gather.gram = [&](int64_t input, std::vector<double> gram) {
      grams[static_cast<size_t>(input)] = std::move(gram);
    };
    auto found = gather_statistics(model->source, model->description, tokens, gather);
    EXPECT_TRUE(found);
    statistics = std::move(*found);
    options.statistics = &statistics;
    auto made = make_plan(model->source, options);
    EXPECT_TRUE(made);
    plan = std::move(*made);
    auto chosen = choose_inputs(model->source, plan, statistics, tokens, {});
    EXPECT_TRUE(chosen);
    choices = std::move(*chosen);
  }

  /// Walks through all inputs, rounding as convert() does.
  std::vector<GptqInput> walk(bool behind_rounded) {
    HessianOptions options;
    options.behind_rounded = behind_rounded;
    auto walk = HessianWalk::create(model->source, plan, choices, tokens, options);
    EXPECT_TRUE(walk);
    std::vector<GptqInput> all;
    for (const TensorPlan& t : plan.tensors) {
      if (t.spec.input < 0) continue;
      auto input = (*walk)->input(t.spec.input);
      EXPECT_TRUE(input);
      if (static_cast<int64_t>(all.size()) == t.spec.input) all.push_back(**input);
      const TensorFold fold = fold_of(plan, choices, t);
      TensorChoices given = choices_of(t, fold, choices);
      given.gptq = *input;
      auto encoded = encode_tensor(t, given, 1, nullptr);
      EXPECT_TRUE(encoded);
      EXPECT_TRUE((*walk)->put(t, fold, given.outliers, *encoded));
    }
    return all;
  }

  /// From the source's own activations, divided by what smooths them.
  GptqInput expected(size_t input) const {
    std::vector<double> gram = grams[input];
    const auto& s = choices[input].smooth;
    for (size_t i = 0; i < s.size(); i++)
      for (size_t j = 0; j < s.size(); j++)
        gram[i * s.size() + j] /= static_cast<double>(s[i]) * static_cast<double>(s[j]);
    GptqOptions options;
    if (!choices[input].outliers.empty()) options.order = GptqOrder::ascending;
    auto made = gptq_input(gram, plan.inputs[input].columns, choices[input].outliers, options);
    EXPECT_TRUE(made);
    return *made;
  }
};

/// |a - b| as a share of |b|.
double distance(const std::vector<float>& a, const std::vector<float>& b) {
  double off = 0, size = 0;
  for (size_t i = 0; i < b.size(); i++) {
    off += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
    size += std::pow(static_cast<double>(b[i]), 2);
  }
  return std::sqrt(off / size);
}

TEST(Hessian, IsOfTheSmoothedActivations) {
  PlanOptions smoothed = preset_options("smoothquant", "round=gptq");
  smoothed.smoothing.alpha = 0.6;
  smoothed.smoothing.sites = *parse_sites("qkv,o:apply,gate_up,down");
  for (const PlanOptions& options : {smoothed, preset_options("quik")}) {
    Walked w(options);
    const std::vector<GptqInput> all = w.walk(false);
    ASSERT_EQ(all.size(), 9u);
    for (size_t i = 0; i < 8; i++) {
      const GptqInput want = w.expected(i);
      EXPECT_EQ(all[i].order, want.order) << i;
      EXPECT_EQ(all[i].kept, want.kept) << i;
      EXPECT_LT(distance(all[i].upper, want.upper), 1e-4) << i;
    }
  }
}

/// Eight bits leave the activations behind them about as they were: put back in the source's
/// coordinates, rounded tensors change little, and two bits change more.
TEST(Hessian, BehindRoundedWeights) {
  const auto off = [](const char* words) {
    PlanOptions options = preset_options("smoothquant", words);
    options.smoothing.alpha = 0.6;
    options.smoothing.sites = *parse_sites("qkv,o,gate_up,down");
    Walked w(options);
    const std::vector<GptqInput> all = w.walk(true);
    EXPECT_EQ(all[0].upper, w.walk(false)[0].upper);  // nothing is rounded before it
    double most = 0;
    for (size_t i = 1; i < 8; i++)
      most = std::max(most, distance(all[i].upper, w.expected(i).upper));
    return most;
  };
  const double eight = off("round=gptq"), two = off("round=gptq,bits=2");
  EXPECT_GT(eight, 0);
  EXPECT_LT(eight, 0.2);
  EXPECT_GT(two, 3 * eight);
  RecordProperty("eight", std::to_string(eight));
  RecordProperty("two", std::to_string(two));
}

}  // namespace
}  // namespace sqf

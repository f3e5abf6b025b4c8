// The clip search within a conversion: which Gram matrices it judges by, which tensors it is for,
// and that the file does not depend on who computed what.
#include "converter/hessian_walk.hpp"
#include "converter/journal.hpp"
#include "tests/methods/method_file.hpp"

namespace sqf {
namespace {

MethodModel clip_model() {
  return {Json{{"num_hidden_layers", 2}, {"mlp_bias", true}}, 9,
          [](RandomModel& m) { make_loud(m, 6); }};
}

struct ClipSetting {
  std::unique_ptr<RandomModel> model = clip_model().make();
  CalibrationTokens tokens = random_windows(model->description);
  Statistics statistics;
  std::vector<std::vector<double>> grams;  ///< by input, of the source's own activations
  Plan plan;
  std::vector<InputChoice> choices;

  explicit ClipSetting(PlanOptions options) : grams(9) {
    StatisticsOptions gather;
    gather.gram = [&](int64_t input, std::vector<double> gram) {
      grams[static_cast<size_t>(input)] = std::move(gram);
    };
    statistics = *gather_statistics(model->source, model->description, tokens, gather);
    options.statistics = &statistics;
    plan = *make_plan(model->source, options);
    choices = *choose_inputs(model->source, plan, statistics, tokens, {});
  }
};

/// Blocks of the whole matrix, of the columns that are no outliers, divided by what smooths them.
TEST(ClipMethod, BlocksAreThoseOfTheWholeMatrix) {
  PlanOptions smoothed = preset_options("awq", "range=clip,group=64");
  smoothed.smoothing.alpha = 0.6;
  for (const PlanOptions& options :
       {smoothed, preset_options("quik", "round=nearest,range=clip,group=32")}) {
    ClipSetting s(options);
    for (const int threads : {1, 3}) {
      HessianOptions how;
      how.threads = threads;
      how.behind_rounded = false;
      auto walk = HessianWalk::create(s.model->source, s.plan, s.choices, s.tokens, how);
      ASSERT_TRUE(walk);
      for (size_t input = 0; input < 8; input++) {
        const InputPlan& in = s.plan.inputs[input];
        const InputChoice& choice = s.choices[input];
        EXPECT_EQ(choice.outliers.empty(), in.outliers == 0);
        const std::vector<uint32_t> base = base_columns(in.columns, choice.outliers);
        const int64_t group = static_cast<int64_t>(options.linear.encoding().group);
        auto blocks = (*walk)->blocks(static_cast<int64_t>(input), group);
        ASSERT_TRUE(blocks) << blocks.error().message;
        size_t at = 0;
        for (size_t first = 0; first < base.size(); first += static_cast<size_t>(group)) {
          const size_t end = std::min(first + static_cast<size_t>(group), base.size());
          for (size_t i = first; i < end; i++)
            for (size_t j = first; j < end; j++) {
              const auto whole = [&](size_t a, size_t b) {
                double sum = s.grams[input][base[a] * static_cast<size_t>(in.columns) + base[b]];
                sum /= static_cast<double>(kWindows * kLength);
                if (!choice.smooth.empty())
                  sum /= static_cast<double>(choice.smooth[base[a]]) *
                         static_cast<double>(choice.smooth[base[b]]);
                return sum;
              };
              ASSERT_LT(at, blocks->size());
              // One rounding to f32; the products behind it are the very same.
              const double size = std::sqrt(whole(i, i) * whole(j, j));
              ASSERT_NEAR(static_cast<double>((*blocks)[at++]), whole(i, j), size * 0x1p-23);
            }
        }
        EXPECT_EQ(at, blocks->size());
      }
    }
  }
}

TEST(ClipMethod, WhichTensorsItIsFor) {
  PlanOptions options = preset_options("rtn", "range=clip");
  options.rules.push_back({"1.*up_proj", "range=minmax"});
  const RandomModel model(Json::object());
  const Plan plan = *make_plan(model.source, options);
  int clipped = 0;
  for (const TensorPlan& t : plan.tensors) {
    if (!is_coded(t.method)) continue;
    const bool skipped = t.spec.role == Role::q || t.spec.role == Role::k || t.spec.layer < 0;
    const bool plain = t.spec.role == Role::up && t.spec.layer == 1;
    EXPECT_EQ(t.range, plain     ? Range::minmax
                       : skipped ? Range::search
                                 : Range::clip)
        << t.spec.name;
    EXPECT_EQ(wants_forward(t), t.range == Range::clip);
    clipped += t.range == Range::clip;
  }
  EXPECT_EQ(clipped, 3 * 5 - 1);
  EXPECT_TRUE(needs_of(plan).forward);
  EXPECT_FALSE(needs_of(plan).statistics);
  EXPECT_NE(plan_text(plan).find(", clipped"), std::string::npos);
  const Json told = plan_json(plan);
  int found = 0;
  for (const Json& t : told["tensors"])
    if (t["name"] == "model.layers.0.mlp.up_proj.weight") {
      EXPECT_EQ(t["range"], "clip");
      found++;
    }
  EXPECT_EQ(found, 1);
}

/// With every choice that it meets: the same file for any number of threads, in memory or not.
TEST(ClipMethod, ComposesAndIsTheSameForAnyThreads) {
  const TemporaryFolder folder;
  const std::pair<const char*, const char*> all[] = {
      {"awq", "range=clip"},
      {"awq", "range=clip,group=32,scale=u8,factor=row"},
      {"awq", "range=clip,round=gptq,group=32"},
      {"smoothquant", "range=clip,lorc=4"},
      {"quik", "range=clip,group=32,scale=f16"},
      {"rtn", "range=clip,grid=e2m1,scale=e8m0,factor=row"},
      {"rtn", "range=clip,group=row,bits=3,scale=f32,factor=none"}};
  for (const auto& [name, words] : all) {
    const PlanOptions options = preset_options(name, words);
    for (const int threads : {1, 3}) {
      ConvertOptions how = replacing(threads);
      if (threads == 3) how.spill = folder / "spill";
      auto written = write_method(clip_model(), options, folder / std::to_string(threads), how);
      ASSERT_TRUE(written) << words << ": " << written.error().message;
    }
    EXPECT_TRUE(read_file(folder / "1") == read_file(folder / "3")) << name << ' ' << words;
    std::string other = words;
    other.replace(other.find("clip"), 4, "search");
    auto searched = write_method(clip_model(), preset_options(name, other.c_str()),
                                 folder / "searched", replacing());
    ASSERT_TRUE(searched);
    EXPECT_FALSE(read_file(folder / "1") == read_file(folder / "searched"));
  }
}

}  // namespace
}  // namespace sqf

// Smoothing by itself changes nothing: a model that is folded, or divided at run time, and not
// rounded, answers as it did.
#include <cstring>

#include "tests/methods/method_file.hpp"

namespace sqf {
namespace {

/// Each weight and activation of a folded model is off by a few roundings of f32. What grows them
/// is the softmax, which passes on a relative error of scores times their size: some 30 here, and
/// 30 * 2^-24 * (4 roundings in each of q and k) in each of three layers is 4e-5. Measured: 1.2e-5.
constexpr double kFolded = 4e-5;

std::vector<MethodModel> models() {
  std::vector<MethodModel> all;
  for (const auto& [name, config] : model_variants())
    all.push_back({config, 3, [](RandomModel& model) { make_loud(model, 6); }});
  return all;
}

TEST(Fold, LeavesTheAnswersAsTheyWere) {
  const TemporaryFolder folder;
  int files = 0;
  double worst = 0;
  for (const MethodModel& model : models()) {
    const std::vector<int32_t> tokens = random_tokens(20, 9, 264);
    ASSERT_TRUE(write_method(model, folding_options(SmoothMethod::none, 0.5, "qkv"),
                             folder / "plain.sqf", replacing()));
    const std::vector<float> plain = file_logits(folder / "plain.sqf", tokens, true);
    for (const char* sites :
         {"qkv", "o", "gate_up", "down", "qkv:apply", "o:apply", "gate_up:apply", "down:apply",
          "qkv,o,gate_up,down", "qkv:apply,o:apply,gate_up:apply,down:apply"})
      for (const SmoothMethod method : {SmoothMethod::smoothquant, SmoothMethod::awq}) {
        auto written = write_method(model, folding_options(method, 0.5, sites),
                                    folder / "smooth.sqf", replacing());
        ASSERT_TRUE(written) << written.error().message;
        // Factors worth the name, or there would be nothing to get wrong.
        int uneven = 0;
        for (const InputChoice& choice : written->choices) {
          if (choice.smooth.empty()) continue;
          const auto [least, most] = std::ranges::minmax(choice.smooth);
          uneven += most > 1.5f * least;
        }
        EXPECT_GE(uneven, 2) << sites;
        const auto logits = file_logits(folder / "smooth.sqf", tokens, true);
        const double distance = relative_distance(logits, plain);
        EXPECT_LE(distance, kFolded) << model.config << ' ' << sites;
        worst = std::max(worst, distance);
        files++;
      }
  }
  EXPECT_EQ(files, 100);
  RecordProperty("worst", std::to_string(worst * 1e6));
}

/// Kept vectors of folded sites say what was folded, and change nothing.
TEST(Fold, KeptVectorsAreNotApplied) {
  const TemporaryFolder folder;
  const MethodModel model = models()[1];
  PlanOptions options = folding_options(SmoothMethod::smoothquant, 0.5, "qkv,o,gate_up,down:apply");
  const auto bare = write_method(model, options, folder / "bare.sqf");
  options.smoothing.keep = true;
  auto written = write_method(model, options, folder / "kept.sqf");
  ASSERT_TRUE(bare && written);
  const std::vector<int32_t> tokens = random_tokens(20, 9, 264);
  EXPECT_EQ(file_logits(folder / "bare.sqf", tokens, true),
            file_logits(folder / "kept.sqf", tokens, true));
  auto file = ModelFile::open(folder / "kept.sqf");
  ASSERT_TRUE(file);
  const Directory& d = file->head().directory;
  ASSERT_EQ(d.inputs.size(), written->choices.size());
  for (size_t i = 0; i < written->choices.size(); i++) {
    const auto& smooth = written->choices[i].smooth;
    if (smooth.empty()) {
      EXPECT_EQ(d.inputs[i].smooth_state, SmoothState::none);
      continue;
    }
    EXPECT_EQ(d.inputs[i].smooth_state, i % 4 == 3 ? SmoothState::apply : SmoothState::folded);
    const auto stored = file->component(d.inputs[i].smooth);
    ASSERT_EQ(stored.size(), smooth.size() * sizeof(float));
    EXPECT_EQ(std::memcmp(stored.data(), smooth.data(), stored.size()), 0);
  }
}

}  // namespace
}  // namespace sqf

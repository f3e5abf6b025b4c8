// A real model through the methods, on few and short windows: files open and answer, and the order
// is the one that they promise. Skipped where SQF_SMOLLM2 is not set.
#include "tests/runtime/real_model.hpp"
#include "tests/methods/method_file.hpp"

namespace sqf {
namespace {

const char* kText =
    "The river rises in the hills north of the town and flows south for about forty miles before "
    "it meets the sea. In the nineteenth century several mills stood on its banks, and most of "
    "the people who lived there worked in them. The largest was built in 1824 by a merchant from "
    "the coast, who had made his money in the trade of wool and cotton. When the railway came the "
    "mills grew, and the town grew with them: by 1870 it had three churches, a school and a "
    "market. After the war the trade declined. The last of the mills was closed in 1961 and is "
    "now a museum, where visitors can see the wheels and the looms as they were, and learn how "
    "the cloth was made, sold and shipped to every part of the world. The song was released as "
    "the second single of the album. It was written by the band and their producer during the "
    "sessions of the previous summer, and received mostly positive reviews from critics, who "
    "praised its melody and its words. It reached number four on the chart and stayed there for "
    "eleven weeks. A video was directed by an old friend of the singer and filmed on a beach.";

struct Scored {
  double loss = 0;  ///< mean over the tokens of the last window
  uint64_t bytes = 0;
};

/// Calibrates on all windows but the last one, converts, and scores that one.
Result<Scored> run_method(const PlanOptions& asked, const std::filesystem::path& path) {
  auto source = open_source(std::getenv("SQF_SMOLLM2"));
  if (!source) return source.error();
  CalibrationOptions calibration;
  calibration.length = 48;
  calibration.tokens = 48 * 5;
  auto tokens = calibration_tokens(source->tokenizer_json, kText, "text", calibration);
  if (!tokens) return tokens.error();
  std::vector<int32_t> last(tokens->ids.end() - 48, tokens->ids.end());
  tokens->windows--;
  tokens->ids.resize(static_cast<size_t>(tokens->windows * 48));
  auto description = description_from_config(source->config, source->generation_config);
  if (!description) return description.error();
  StatisticsOptions gather;
  gather.threads = 2;
  auto statistics = gather_statistics(*source, *description, *tokens, gather);
  if (!statistics) return statistics.error();
  PlanOptions options = asked;
  options.statistics = &*statistics;
  auto plan = make_plan(*source, options);
  if (!plan) return plan.error();
  SearchOptions search;
  search.threads = 2;
  auto choices = choose_inputs(*source, *plan, *statistics, *tokens, search);
  if (!choices) return choices.error();
  ConvertOptions convert_options;
  convert_options.threads = 2;
  convert_options.replace = true;
  convert_options.choices = *choices;
  convert_options.tokens = &*tokens;
  auto written = convert(*source, *plan, path, convert_options);
  if (!written) return written.error();
  auto file = ModelFile::open(path);
  if (!file) return file.error();
  auto engine = Engine::create(*file, {.threads = 2, .context = 64});
  if (!engine) return engine.error();
  if (auto r = engine->forward(last, LogitsOf::all_tokens); !r) return r.error();
  Scored out = {0, file->head().header.file_size};
  for (size_t t = 0; t + 1 < last.size(); t++) {
    const auto logits = engine->logits(static_cast<int64_t>(t));
    const float top = *std::ranges::max_element(logits);
    double sum = 0;
    for (const float logit : logits) sum += std::exp(static_cast<double>(logit - top));
    out.loss +=
        (std::log(sum) - static_cast<double>(logits[static_cast<size_t>(last[t + 1])] - top)) /
        static_cast<double>(last.size() - 1);
  }
  return out;
}

TEST(RealMethods, AnswerInTheOrderTheyPromise) {
  SQF_NEEDS("SQF_SMOLLM2");
  const TemporaryFolder folder;
  std::map<std::string, double> loss;
  const auto run = [&](const std::string& what, const PlanOptions& options) {
    auto scored = run_method(options, folder / "a.sqf");
    ASSERT_TRUE(scored) << what << ": " << scored.error().message;
    loss[what] = scored->loss;
    RecordProperty(what, std::to_string(scored->loss));
  };
  PlanOptions plain = folding_options(SmoothMethod::none, 0, "qkv");
  run("source", plain);
  run("rtn", preset_options("rtn", "bits=4,group=row,scale=f32,factor=none,range=minmax"));
  // Exponents are given: searches of a real model are the bench's.
  PlanOptions smoothquant = preset_options("smoothquant");
  smoothquant.smoothing.alpha = 0.7;
  run("smoothquant", smoothquant);
  PlanOptions awq = preset_options("awq", "range=minmax");
  awq.smoothing.alpha = 0.35;
  run("awq", awq);
  PlanOptions quik = preset_options("quik", "round=nearest,range=minmax");
  run("quik", quik);
  if (HasFatalFailure()) return;
  EXPECT_LT(loss["source"], 4.5);
  EXPECT_LT(loss["smoothquant"], loss["rtn"]);
  EXPECT_LT(std::fabs(loss["smoothquant"] - loss["source"]), 0.15);
  EXPECT_LT(loss["awq"], loss["rtn"]);
  // Four bits of activations cost, but leave an answer: outliers make the difference.
  run("quik without outliers", preset_options("quik", "round=nearest,range=minmax,outliers=0"));
  EXPECT_LT(loss["quik"] + 0.5, loss["quik without outliers"]);
}

}  // namespace
}  // namespace sqf

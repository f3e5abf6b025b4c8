// The evaluation of a conversion: figures by hand, and a file against the model it was made of.
#include "apps/evaluate.hpp"

#include <fstream>
#include <limits>

#include "apps/perplexity.hpp"
#include "converter/calibration/text.hpp"
#include "runtime/sampler.hpp"
#include "tests/calibration/byte_tokenizer.hpp"
#include "tests/calibration/random_model.hpp"
#include "tests/runtime/real_model.hpp"

namespace sqf {
namespace {

TEST(CompareToken, GivesWhatPencilAndPaperGive) {
  // The source says 1/4 and 3/4, the file 1/2 and 1/2; a common offset means nothing.
  const float log3 = std::log(3.0f);
  for (const float offset : {0.0f, 60.0f}) {
    const float source[] = {offset, offset + log3}, file[] = {-offset, -offset};
    const TokenComparison c = compare_token(source, file, 1);
    EXPECT_NEAR(c.divergence, 0.25 * std::log(0.5) + 0.75 * std::log(1.5), 1e-6);
    EXPECT_NEAR(c.source_nll, std::log(4.0 / 3.0), 1e-6);
    EXPECT_NEAR(c.file_nll, std::log(2.0), 1e-6);
    EXPECT_FALSE(c.same_top);  // the file's is the first of equals
    EXPECT_TRUE(compare_token(source, source, 0).same_top);
    EXPECT_EQ(compare_token(source, source, 0).divergence, 0);
  }
}

TEST(CompareToken, RuledOutTokensCountAsTheDefinitionSays) {
  constexpr float kNever = -std::numeric_limits<float>::infinity();
  const float some[] = {1, 2, kNever}, all[] = {1, 2, 3};
  // p ln(p / q) is 0 where p is; what is left is ln of what the file gives the other two.
  const double left = std::exp(-2) + std::exp(-1);
  EXPECT_NEAR(compare_token(some, all, 0).divergence, std::log((left + 1) / left), 1e-6);
  EXPECT_FALSE(std::isfinite(compare_token(all, some, 0).divergence));
  const float broken[] = {1, std::numeric_limits<float>::quiet_NaN(), 3};
  EXPECT_FALSE(std::isfinite(compare_token(all, broken, 0).file_nll));
  EXPECT_FALSE(std::isfinite(compare_token(broken, all, 0).source_nll));
}

TEST(WindowMean, ErrorIsThatOfTheMean) {
  const double values[] = {1, 2, 3, 6};
  const WindowMean mean = window_mean(values);
  EXPECT_DOUBLE_EQ(mean.mean, 3);
  EXPECT_DOUBLE_EQ(mean.standard_error, std::sqrt((4 + 1 + 0 + 9) / 3.0 / 4.0));
  EXPECT_EQ(window_mean(std::span(values, 1)).standard_error, 0);
}

/// A random model, a text of ASCII lines and files made of the model.
class Evaluate : public testing::Test {
 protected:
  Evaluate() {
    std::mt19937 random(3);
    for (int line = 0; line < 200; line++) {
      for (int i = 0; i < 20; i++) text += static_cast<char>('a' + random() % 26);
      text += '\n';
    }
    std::ofstream(folder / "text.txt", std::ios::binary) << text;
    model.source.tokenizer_json = byte_tokenizer();
    options.window = 64;
    options.windows = 4;
    options.threads = 2;
  }

  std::filesystem::path convert_to(const std::string& name, const PlanOptions& plan_options) {
    // Of a model of its own: pages that convert() has read it gives back, which clears memory that
    // no file stands behind.
    RandomModel given(Json::object());
    given.source.tokenizer_json = byte_tokenizer();
    auto plan = make_plan(given.source, plan_options);
    EXPECT_TRUE(plan) << plan.error().message;
    ConvertOptions to;
    to.replace = true;
    EXPECT_TRUE(convert(given.source, *plan, folder / name, to));
    return folder / name;
  }

  Json run(const std::filesystem::path& file) {
    auto result = evaluate(model.source, file, folder / "text.txt", options);
    EXPECT_TRUE(result) << result.error().message;
    return result ? *result : Json();
  }

  Error refusal(const std::filesystem::path& file) {
    auto result = evaluate(model.source, file, folder / "text.txt", options);
    EXPECT_FALSE(result);
    return result ? usage_error("") : result.error();
  }

  const TemporaryFolder folder;
  RandomModel model = RandomModel(Json::object());
  std::string text;
  EvaluateOptions options;
};

TEST_F(Evaluate, KeptValuesAreTheSource) {
  const Json e = run(convert_to("kept.sqf", method_options(Method::none)));
  // Hoeffding: KL <= range^2 / 8 of the logits' differences. These are within 1e-5 of the largest
  // logit (block_test.cpp), which is below 16 here: a sum of 64 products, 1.5 sigma wide.
  const double range = 2 * 1e-5 * 16;
  EXPECT_LE(e["kl"]["max"].get<double>(), range * range / 8);
  EXPECT_GE(e["kl"]["mean"].get<double>(), 0);
  EXPECT_EQ(e["top1_agreement"], 1.0);
  EXPECT_NEAR(e["source"]["nll"].get<double>(), e["file"]["nll"].get<double>(), range);
  EXPECT_EQ(e["windows"], 4);
  EXPECT_EQ(e["length"], 64);
  EXPECT_EQ(e["tokens"], 4 * 63);
  EXPECT_EQ(e["per_window"].size(), 4u);
}

/// Against the definition, over both files' logits as the runtime gives them.
TEST_F(Evaluate, FiguresAreThoseOfTheDefinition) {
  PlanOptions two;
  two.linear.bits = 2;
  const auto kept = convert_to("kept.sqf", method_options(Method::none));
  const auto rough = convert_to("rough.sqf", two);
  options.exact = true;
  const Json e = run(rough);

  CalibrationOptions words;
  words.length = 64;
  words.tokens = 1 << 30;
  words.first_percent = 60;
  auto tokens = calibration_tokens(model.source.tokenizer_json, text, "text.txt", words);
  ASSERT_TRUE(tokens);
  EXPECT_EQ(e["text"], text_to_json(tokens->text));
  // Line 120 of 200 is where the last 40 % begin; every line has 21 characters.
  EXPECT_EQ(tokens->ids[0], static_cast<int32_t>(text[120 * 21]));
  auto a_file = ModelFile::open(kept), b_file = ModelFile::open(rough);
  ASSERT_TRUE(a_file && b_file);
  const EngineOptions how = {.threads = 1, .exact = true, .context = 64};
  auto a = Engine::create(*a_file, how), b = Engine::create(*b_file, how);
  ASSERT_TRUE(a && b);
  double kl = 0, largest = 0, a_nll = 0, b_nll = 0;
  int64_t same = 0;
  for (int64_t w = 0; w < 4; w++) {
    const auto window = tokens->window(w);
    a->rewind(0);
    b->rewind(0);
    ASSERT_TRUE(a->forward(window, LogitsOf::all_tokens));
    ASSERT_TRUE(b->forward(window, LogitsOf::all_tokens));
    for (int64_t i = 0; i < 63; i++) {
      double here = 0;
      const auto p = a->logits(i), q = b->logits(i);
      for (int32_t n = 0; n < 264; n++) {
        const double log_p = log_probability(p, n), log_q = log_probability(q, n);
        here += std::exp(log_p) * (log_p - log_q);
      }
      kl += here;
      largest = std::max(largest, here);
      a_nll -= log_probability(p, window[static_cast<size_t>(i + 1)]);
      b_nll -= log_probability(q, window[static_cast<size_t>(i + 1)]);
      same += greedy(p) == greedy(q);
    }
    EXPECT_NEAR(e["per_window"][static_cast<size_t>(w)]["file"].get<double>(),
                *window_nll(*b, window), 1e-9);
  }
  const double count = 4 * 63;
  EXPECT_GT(kl / count, 0.01) << "two bits must show";
  // The source's logits are within 1e-5 of the kept file's, so are the differences of them.
  EXPECT_NEAR(e["kl"]["mean"].get<double>(), kl / count, 1e-3 * kl / count);
  EXPECT_NEAR(e["kl"]["max"].get<double>(), largest, 1e-3 * largest);
  EXPECT_LE(e["kl"]["p99"].get<double>(), e["kl"]["max"].get<double>());
  EXPECT_NEAR(e["source"]["perplexity"].get<double>(), std::exp(a_nll / count), 1e-2);
  EXPECT_NEAR(e["file"]["perplexity"].get<double>(), std::exp(b_nll / count),
              1e-9 * std::exp(b_nll / count));
  EXPECT_NEAR(e["top1_agreement"].get<double>(), static_cast<double>(same) / count, 1 / count);
  EXPECT_NEAR(e["increase"]["percent"].get<double>(), std::expm1((b_nll - a_nll) / count) * 100,
              1e-2);
}

TEST_F(Evaluate, ThreadsChangeNothing) {
  PlanOptions two;
  two.linear.bits = 2;
  const auto file = convert_to("rough.sqf", two);
  const Json first = run(file);
  for (const int threads : {1, 3, 8}) {
    options.threads = threads;
    EXPECT_EQ(run(file), first) << threads << " threads";
  }
}

TEST_F(Evaluate, ProgressRisesToAllAndStops) {
  const auto file = convert_to("kept.sqf", method_options(Method::none));
  std::vector<uint64_t> seen;
  uint64_t all = 0;
  options.progress = [&](uint64_t done, uint64_t total) {
    seen.push_back(done);
    all = total;
    return true;
  };
  run(file);
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  ASSERT_FALSE(seen.empty());
  EXPECT_EQ(seen.back(), all);
  for (size_t stop = 0; stop < seen.size(); stop++) {
    size_t calls = 0;
    options.progress = [&](uint64_t, uint64_t) { return calls++ < stop; };
    EXPECT_EQ(refusal(file).code, Code::interrupted);
    EXPECT_EQ(calls, stop + 1);
  }
}

TEST_F(Evaluate, RefusesWhatCannotBeCompared) {
  const auto file = convert_to("kept.sqf", method_options(Method::none));
  options.window = 129;
  EXPECT_EQ(refusal(file).message, "evaluation windows of 129 tokens, the model's context is 128");
  options.window = 1;
  EXPECT_EQ(refusal(file).code, Code::usage);
  options.window = 5000;
  EXPECT_NE(refusal(file).message.find("evaluation text \"text.txt\" has 1680 tokens"),
            std::string::npos);
  options.window = 64;
  options.memory_limit = 1000;
  EXPECT_NE(refusal(file).message.find("the limit is"), std::string::npos);
  options.memory_limit = 0;
  model.source.config["vocab_size"] = 272;
  EXPECT_NE(refusal(file).message.find("another model"), std::string::npos);
  EXPECT_EQ(refusal(folder / "none.sqf").code, Code::io);
}

TEST_F(Evaluate, TakesTheWindowsThatThereAre) {
  const auto file = convert_to("kept.sqf", method_options(Method::none));
  options.windows = 1000;
  EXPECT_EQ(run(file)["windows"], 80 * 21 / 64);
}

TEST(EvaluateRealModel, KeptValuesAreTheSource) {
  SQF_NEEDS("SQF_SMOLLM2");
  auto file = converted("SQF_SMOLLM2", "none.sqf", method_options(Method::none));
  ASSERT_TRUE(file) << file.error().message;
  auto source = open_source(std::getenv("SQF_SMOLLM2"));
  ASSERT_TRUE(source) << source.error().message;
  EvaluateOptions options;
  options.window = 96;
  options.windows = 2;
  options.threads = 2;
  const auto text =
      std::filesystem::path(SQF_TEST_DATA).parent_path().parent_path() / "spec/sqf.md";
  auto e = evaluate(*source, *file, text, options);
  ASSERT_TRUE(e) << e.error().message;
  // As above, with logits below 64.
  const double range = 2 * 1e-5 * 64;
  EXPECT_LE((*e)["kl"]["max"].get<double>(), range * range / 8);
  EXPECT_GE((*e)["top1_agreement"].get<double>(), 1 - 1.0 / 190);
  std::printf("KL %.2e, perplexity %.3f\n", (*e)["kl"]["mean"].get<double>(),
              (*e)["source"]["perplexity"].get<double>());
}

}  // namespace
}  // namespace sqf

// The search for smoothing exponents, on models with loud channels.
#include "converter/journal.hpp"
#include "tests/methods/method_file.hpp"

namespace sqf {
namespace {

MethodModel loud_model(Json config = Json::object()) {
  return {std::move(config), 4, [](RandomModel& model) { make_loud(model, 8); }};
}

constexpr const char* kSmoothing[] = {"smoothquant", "smoothquant+", "awq"};

TEST(Search, LowersWhatRoundingCosts) {
  const TemporaryFolder folder;
  for (const char* name : kSmoothing) {
    auto written = write_method(loud_model(), preset_options(name), folder / name);
    ASSERT_TRUE(written) << written.error().message;
    double before = 0, after = 0;
    int lowered = 0, smoothed = 0;
    for (const InputChoice& choice : written->choices) {
      if (choice.smooth.empty()) continue;
      smoothed++;
      EXPECT_GT(choice.loss_before, 0);
      EXPECT_LE(choice.loss_after, choice.loss_before);
      lowered += choice.loss_after < choice.loss_before;
      before += choice.loss_before;
      after += choice.loss_after;
      EXPECT_GE(choice.alpha, 0);
      EXPECT_LE(choice.alpha, 1);
      if (choice.loss_after < choice.loss_before) {
        const auto [least, most] = std::ranges::minmax(choice.smooth);
        EXPECT_GT(most, least);
      } else {
        EXPECT_EQ(choice.alpha, 0);
        for (const float s : choice.smooth) EXPECT_EQ(s, 1);
      }
    }
    EXPECT_EQ(smoothed, name == std::string("awq") ? 12 : 9) << name;
    EXPECT_GE(lowered, 8) << name;
    EXPECT_LT(after, 0.8 * before) << name;
    RecordProperty(name, std::to_string(after / before));
    EXPECT_EQ(written->said.size(), static_cast<size_t>(smoothed));
  }
}

TEST(Search, OneExponentForTheModel) {
  const TemporaryFolder folder;
  auto written = write_method(loud_model(), preset_options("smoothquant+"), folder / "a.sqf");
  ASSERT_TRUE(written);
  const InputChoice& first = written->choices[0];
  EXPECT_GT(first.alpha, 0);
  for (const InputChoice& choice : written->choices) {
    if (choice.smooth.empty()) continue;
    EXPECT_EQ(choice.alpha, first.alpha);
    EXPECT_EQ(choice.loss_after, first.loss_after);
  }
  // Logits of the written files say the same as the losses of the search: random heads see all
  // directions of the last hidden state alike.
  const auto model = loud_model().make();
  const CalibrationTokens tokens = random_windows(model->description);
  const auto logits = [&](PlanOptions options, std::optional<double> alpha) {
    options.head.method = Method::none;
    options.smoothing.alpha = alpha;
    EXPECT_TRUE(write_method(loud_model(), options, folder / "b.sqf", replacing()));
    std::vector<float> all;
    for (int64_t w = 0; w < tokens.windows; w++) {
      const auto window = tokens.window(w);
      const auto of = file_logits(folder / "b.sqf", {window.begin(), window.end()}, true);
      all.insert(all.end(), of.begin(), of.end());
    }
    return all;
  };
  const auto exact = logits(folding_options(SmoothMethod::none, 0, "qkv"), std::nullopt);
  const auto error = [&](const std::vector<float>& of) {
    double sum = 0;
    for (size_t i = 0; i < of.size(); i++)
      sum += std::pow(static_cast<double>(of[i]) - static_cast<double>(exact[i]), 2);
    return sum;
  };
  PlanOptions unsmoothed = preset_options("smoothquant+");
  unsmoothed.smoothing = {};
  const double plain = error(logits(unsmoothed, std::nullopt));
  const double chosen = error(logits(preset_options("smoothquant+"), first.alpha));
  EXPECT_NEAR(chosen / plain, first.loss_after / first.loss_before, 0.1 * chosen / plain);
  for (int tenth = 0; tenth <= 10; tenth++)
    EXPECT_GT(error(logits(preset_options("smoothquant+"), tenth / 10.0)), 0.9 * chosen) << tenth;
}

TEST(Search, SameBytesForAnyNumberOfThreads) {
  const TemporaryFolder folder;
  for (const char* name : {"smoothquant", "smoothquant+", "awq", "gptq", "quik"}) {
    for (const int threads : {1, 3}) {
      const auto path = folder / (name + std::to_string(threads));
      ConvertOptions how = replacing(threads);
      if (threads > 1) how.spill = folder / "spill";
      auto written = write_method(loud_model(), preset_options(name), path, how);
      ASSERT_TRUE(written) << written.error().message;
    }
    EXPECT_TRUE(read_file(folder / (name + std::string("1"))) ==
                read_file(folder / (name + std::string("3"))))
        << name;
  }
}

TEST(Search, AGivenExponentIsTaken) {
  const TemporaryFolder folder;
  for (const char* name : kSmoothing) {
    PlanOptions options = preset_options(name, "range=search");
    options.smoothing.alpha = 0.35;
    auto written = write_method(loud_model(), options, folder / name);
    ASSERT_TRUE(written);
    const auto model = loud_model().make();
    options.statistics = &written->statistics;
    const Plan plan = *make_plan(model->source, options);
    EXPECT_FALSE(needs_of(plan).forward);
    EXPECT_TRUE(needs_of(plan).statistics);
    for (size_t i = 0; i < written->choices.size(); i++) {
      const InputChoice& choice = written->choices[i];
      if (choice.smooth.empty()) continue;
      EXPECT_EQ(choice.alpha, 0.35);
      EXPECT_EQ(choice.loss_before, 0);
      const auto sizes =
          channel_sizes(plan, written->statistics.inputs[i], static_cast<int64_t>(i));
      EXPECT_EQ(choice.smooth, smoothing_factors(options.smoothing.method, 0.35, sizes));
    }
  }
}

TEST(Search, StopsWhereItIsTold) {
  const auto model = loud_model().make();
  const CalibrationTokens tokens = random_windows(model->description);
  const auto statistics = gather_statistics(model->source, model->description, tokens, {});
  ASSERT_TRUE(statistics);
  for (const char* name : kSmoothing) {
    PlanOptions options = preset_options(name);
    options.statistics = &*statistics;
    const auto plan = make_plan(model->source, options);
    ASSERT_TRUE(plan);
    int total = 0;
    uint64_t last = 0;
    SearchOptions search;
    search.progress = [&](uint64_t done, uint64_t all) {
      total++;
      EXPECT_LE(done, all);
      last = std::max(last, all);
      return true;
    };
    ASSERT_TRUE(choose_inputs(model->source, *plan, *statistics, tokens, search));
    EXPECT_EQ(last, name == kSmoothing[1] ? 3u : name == kSmoothing[2] ? 12u : 9u);
    for (const int stop : {1, 2, total}) {
      int calls = 0;
      search.progress = [&](uint64_t, uint64_t) { return ++calls < stop; };
      auto r = choose_inputs(model->source, *plan, *statistics, tokens, search);
      ASSERT_FALSE(r);
      EXPECT_EQ(r.error().code, Code::interrupted);
      EXPECT_EQ(calls, stop);
    }
  }
}

/// With weights that hardly lose anything, activations decide.
bool same_choice(const InputChoice& a, const InputChoice& b) {
  return a.smooth == b.smooth && a.outliers == b.outliers && a.static_scale == b.static_scale &&
         a.alpha == b.alpha && a.loss_before == b.loss_before && a.loss_after == b.loss_after;
}

/// Stopped anywhere, it ends as if it had not been, and asks nothing twice of a site that is done.
TEST(Search, GoesOnBehindTheSitesThatAreDone) {
  const auto model = loud_model().make();
  const CalibrationTokens tokens = random_windows(model->description);
  const auto statistics = gather_statistics(model->source, model->description, tokens, {});
  ASSERT_TRUE(statistics);
  for (const char* name : {"awq", "smoothquant"}) {
    PlanOptions options = preset_options(name, name[0] == 's' ? "act=int8:static" : "");
    options.statistics = &*statistics;
    const auto plan = make_plan(model->source, options);
    ASSERT_TRUE(plan);
    std::vector<uint64_t> asked;  // sites that were done, at each question
    SearchOptions search;
    search.progress = [&](uint64_t done, uint64_t) {
      asked.push_back(done);
      return true;
    };
    const auto whole = choose_inputs(model->source, *plan, *statistics, tokens, search);
    ASSERT_TRUE(whole);
    const std::vector<uint64_t> all = asked;
    ASSERT_GE(all.size(), 40u);
    for (const size_t stop : {size_t{3}, all.size() / 3, all.size() / 2, all.size() - 1}) {
      const TemporaryFolder folder;
      const auto run = [&](Journal::Existing existing, size_t most) {
        auto journal = Journal::open(folder / "work", {{"of", name}}, existing);
        EXPECT_TRUE(journal) << journal.error().message;
        asked.clear();
        search.journal = journal->get();
        search.progress = [&](uint64_t done, uint64_t) {
          if (asked.size() == most) return false;
          asked.push_back(done);
          return true;
        };
        return choose_inputs(model->source, *plan, *statistics, tokens, search);
      };
      const auto stopped = run(Journal::Existing::refuse, stop);
      ASSERT_FALSE(stopped);
      EXPECT_EQ(stopped.error().code, Code::interrupted);
      const auto resumed = run(Journal::Existing::resume, all.size());
      ASSERT_TRUE(resumed) << resumed.error().message;
      const auto left =
          std::ranges::count_if(all, [&](uint64_t done) { return done >= all[stop]; });
      EXPECT_EQ(static_cast<int64_t>(asked.size()), left) << stop;
      EXPECT_TRUE(std::ranges::equal(*resumed, *whole, same_choice)) << stop;
      // Once more: nothing is left to be asked.
      ASSERT_TRUE(run(Journal::Existing::resume, all.size()));
      EXPECT_TRUE(asked.empty());
      search.journal = nullptr;
    }
  }
}

TEST(Search, CountsWhatActivationsLose) {
  const TemporaryFolder folder;
  const auto fine =
      write_method(loud_model(), preset_options("smoothquant", "act=none"), folder / "fine.sqf");
  const auto coarse =
      write_method(loud_model(), preset_options("smoothquant", "act=int4"), folder / "coarse.sqf");
  ASSERT_TRUE(fine && coarse);
  for (size_t i = 0; i < fine->choices.size(); i++) {
    if (fine->choices[i].smooth.empty()) continue;
    EXPECT_GT(coarse->choices[i].loss_before, 10 * fine->choices[i].loss_before) << i;
    EXPECT_LT(coarse->choices[i].loss_after, 0.8 * coarse->choices[i].loss_before) << i;
  }
}

/// GPTQ rounds what smoothing made; the search itself rounds to nearest.
TEST(Search, SmoothingUnderGptq) {
  const TemporaryFolder folder;
  for (const char* name : kSmoothing) {
    const auto nearest =
        write_method(loud_model(), preset_options(name), folder / "nearest.sqf", replacing());
    const auto gptq = write_method(loud_model(), preset_options(name, "round=gptq"),
                                   folder / "gptq.sqf", replacing());
    ASSERT_TRUE(nearest && gptq);
    for (size_t i = 0; i < nearest->choices.size(); i++)
      EXPECT_EQ(nearest->choices[i].smooth, gptq->choices[i].smooth);
    EXPECT_NE(read_file(folder / "nearest.sqf"), read_file(folder / "gptq.sqf"));
  }
}

TEST(Search, LossesThatAreNotFiniteAreMalformed) {
  const auto model = loud_model().make();
  const CalibrationTokens tokens = random_windows(model->description);
  const auto statistics = gather_statistics(model->source, model->description, tokens, {});
  ASSERT_TRUE(statistics);
  model->values("model.layers.1.self_attn.v_proj.weight")[70] = INFINITY;
  for (const char* name : kSmoothing) {
    PlanOptions options = preset_options(name);
    options.statistics = &*statistics;
    const auto plan = make_plan(model->source, options);
    ASSERT_TRUE(plan);
    auto r = choose_inputs(model->source, *plan, *statistics, tokens, {});
    ASSERT_FALSE(r) << name;
    EXPECT_EQ(r.error().code, Code::malformed);
    EXPECT_NE(r.error().message.find("v_proj"), std::string::npos) << r.error().message;
  }
}

}  // namespace
}  // namespace sqf

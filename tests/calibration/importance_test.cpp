// Statistics reach the range search: of which tensors, what it gains, and what the file says of it.
#include <map>

#include "converter/calibration/statistics_file.hpp"
#include "converter/convert.hpp"
#include "loader/dequantize.hpp"
#include "tests/calibration/random_model.hpp"
#include "tests/loader/sample_file.hpp"

namespace sqf {
namespace {

/// Statistics in which every fifth channel is a hundred times as large as the others.
Statistics uneven(const ModelDescription& description) {
  Statistics statistics;
  statistics.windows = 2;
  statistics.length = 10;
  for (const int64_t columns : input_columns(description)) {
    InputStatistics& input = statistics.inputs.emplace_back();
    for (int64_t k = 0; k < columns; k++) {
      const double size = k % 5 == 0 ? 100 : 1;
      input.abs_max.push_back(static_cast<float>(size));
      input.mean_abs.push_back(size);
      input.mean_square.push_back(size * size);
    }
  }
  return statistics;
}

TEST(Importance, ReachesWhatReadsAnInputAndIsSearchedFor) {
  for (const bool tied : {false, true}) {
    const RandomModel model(Json{{"tie_word_embeddings", tied}});
    const Statistics statistics = uneven(model.description);
    PlanOptions options;
    options.rules = {{"layers\\.1\\.mlp\\.up", "range=minmax"}, {"layers\\.2\\.mlp\\.up", "none"}};
    options.statistics = &statistics;
    auto plan = make_plan(model.source, options);
    ASSERT_TRUE(plan) << plan.error().message;
    std::map<std::string, const TensorPlan*> by_name;
    for (const TensorPlan& t : plan->tensors) {
      by_name[t.spec.name] = &t;
      const bool expected = t.spec.input >= 0 && t.spec.name.find("1.mlp.up") == t.spec.name.npos &&
                            t.spec.name.find("2.mlp.up") == t.spec.name.npos;
      EXPECT_EQ(t.importance != nullptr, expected) << t.spec.name;
      if (t.importance) {
        EXPECT_EQ(*t.importance, statistics.inputs[static_cast<size_t>(t.spec.input)].importance());
      }
    }
    EXPECT_EQ(by_name["model.embed_tokens.weight"]->importance != nullptr, tied);
    EXPECT_EQ(by_name["model.layers.0.self_attn.q_proj.weight"]->importance,
              by_name["model.layers.0.self_attn.v_proj.weight"]->importance);
    const Json as_json = plan_json(*plan);
    for (const Json& t : as_json["tensors"])
      EXPECT_EQ(t["calibrated"], by_name[t["name"]]->importance != nullptr);
    // One line for the two layers that differ, each; the other one is calibrated.
    const std::string text = plan_text(*plan);
    EXPECT_NE(text.find("zero u4, calibrated, "), std::string::npos) << text;
    EXPECT_NE(text.find("    1 x layers.*.mlp.up_proj.weight"), std::string::npos) << text;
    options.statistics = nullptr;
    EXPECT_EQ(plan_text(*make_plan(model.source, options)).find("calibrated"), std::string::npos);
  }
}

TEST(Importance, StatisticsOfAnotherModelAreRefused) {
  const RandomModel model(Json::object()), wide(Json{{"intermediate_size", 128}}),
      shallow(Json{{"num_hidden_layers", 1}});
  for (const RandomModel* other : {&wide, &shallow}) {
    const Statistics statistics = uneven(other->description);
    PlanOptions options;
    options.statistics = &statistics;
    auto plan = make_plan(model.source, options);
    ASSERT_FALSE(plan);
    EXPECT_EQ(plan.error().code, Code::usage);
    EXPECT_NE(plan.error().message.find("of another model"), std::string::npos);
  }
}

/// Squared error of one matrix, each column weighted, against values that a twin holds: pages that
/// convert() has read it gives back, which clears memory that no file stands behind.
double weighted_error(const ModelFile& file, const RandomModel& twin, const TensorSpec& spec,
                      const std::vector<double>& weights) {
  const SourceTensor* source = nullptr;
  for (const SourceTensor& t : twin.source.tensors)
    if (t.name == spec.name) source = &t;
  auto tensor = file.find(spec.name);
  EXPECT_TRUE(tensor);
  std::vector<float> wanted(static_cast<size_t>(spec.columns)), stored(wanted.size());
  double error = 0;
  for (int64_t row = 0; row < spec.rows; row++) {
    read_rows(*source, row, 1, wanted.data());
    EXPECT_TRUE(dequantize(file, *tensor, {0, static_cast<uint64_t>(row), 1}, stored.data()));
    for (size_t k = 0; k < wanted.size(); k++)
      error += weights[k] * std::pow(double{wanted[k]} - stored[k], 2);
  }
  return error;
}

TEST(Importance, LowersTheErrorOfTheOutputs) {
  const RandomModel twin(Json::object());
  const Statistics statistics = uneven(twin.description);
  const TemporaryFolder folder;
  for (const bool calibrated : {false, true}) {
    const RandomModel model(Json::object());
    PlanOptions options;
    options.linear.bits = 3;
    if (calibrated) options.statistics = &statistics;
    auto plan = make_plan(model.source, options);
    ASSERT_TRUE(plan);
    ConvertOptions convert_options;
    if (calibrated) convert_options.calibration = calibration_json(statistics);
    const auto path = folder / (calibrated ? "calibrated.sqf" : "plain.sqf");
    ASSERT_TRUE(convert(model.source, *plan, path, convert_options));
  }
  auto plain = ModelFile::open(folder / "plain.sqf");
  auto calibrated = ModelFile::open(folder / "calibrated.sqf");
  ASSERT_TRUE(plain && calibrated);
  int compared = 0;
  for (const TensorSpec& spec : tensor_specs(twin.description)) {
    if (spec.input < 0 || spec.role == Role::head) continue;
    const auto& weights = statistics.inputs[static_cast<size_t>(spec.input)].mean_square;
    // One channel in five carries nearly all: its errors must fall by a good deal.
    EXPECT_LT(weighted_error(*calibrated, twin, spec, weights),
              0.8 * weighted_error(*plain, twin, spec, weights))
        << spec.name;
    compared++;
  }
  EXPECT_EQ(compared, 21);
  EXPECT_EQ(plain->head().section(SectionKind::calb), nullptr);
  auto said = parse_json(calibrated->head().section_text(SectionKind::calb), "CALB");
  ASSERT_TRUE(said);
  EXPECT_EQ(*said, calibration_json(statistics));
}

}  // namespace
}  // namespace sqf

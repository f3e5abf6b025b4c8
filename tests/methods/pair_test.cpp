// Low-rank pairs beside each method: they touch no code, and make up for what rounding lost.
#include "loader/dequantize.hpp"
#include "tests/methods/method_file.hpp"

namespace sqf {
namespace {

MethodModel pair_model() {
  return {Json{{"num_hidden_layers", 2}}, 6, [](RandomModel& model) { make_loud(model, 10); }};
}

/// All components of a tensor but its low-rank pair.
std::vector<std::vector<std::byte>> base_bytes(const ModelFile& file, const TensorView& tensor) {
  const Directory& d = file.head().directory;
  std::vector<std::vector<std::byte>> all;
  const auto add = [&](uint32_t component) {
    if (component == kNone) return;
    const auto bytes = file.component(component);
    all.emplace_back(bytes.begin(), bytes.end());
  };
  for (uint32_t i = 0; i < tensor.record->part_count; i++) {
    const PartRecord& part = d.parts[tensor.record->part_first + i];
    for (const uint32_t plane : part.planes) add(plane);
    for (const uint32_t c : {part.scales, part.row_factors, part.zeros, part.row_sums}) add(c);
  }
  add(tensor.record->bias);
  return all;
}

/// What the matrices inside the layers put out wrong, by the mean squares of what they read.
double weighed_error(const std::filesystem::path& path, const MethodModel& model,
                     const MethodFile& made) {
  auto file = ModelFile::open(path);
  EXPECT_TRUE(file);
  const auto source = model.make();
  double total = 0;
  for (const TensorSpec& spec : tensor_specs(source->description)) {
    if (spec.input < 0 || spec.layer < 0) continue;
    const auto& squares = made.statistics.inputs[static_cast<size_t>(spec.input)].mean_square;
    std::vector<float> w(static_cast<size_t>(spec.rows * spec.columns));
    EXPECT_TRUE(effective(*file, *file->find(spec.name), {0, 0, static_cast<uint64_t>(spec.rows)},
                          w.data()));
    const std::vector<float>& exact = source->values(spec.name);
    for (size_t i = 0; i < w.size(); i++)
      total += squares[i % squares.size()] *
               std::pow(static_cast<double>(w[i]) - static_cast<double>(exact[i]), 2);
  }
  return total;
}

TEST(Pair, CodesAreTheSameWithAndWithoutIt) {
  const TemporaryFolder folder;
  ConvertOptions convert_options;
  convert_options.replace = true;
  // What GPTQ measures behind rounded weights knows of their pairs.
  convert_options.behind_rounded = false;
  for (const char* name : {"rtn", "smoothquant", "smoothquant+", "awq", "gptq", "quik"}) {
    auto without =
        write_method(pair_model(), preset_options(name), folder / "a.sqf", convert_options);
    auto with = write_method(pair_model(), preset_options(name, "lorc=8"), folder / "b.sqf",
                             convert_options);
    ASSERT_TRUE(without && with);
    auto a = ModelFile::open(folder / "a.sqf"), b = ModelFile::open(folder / "b.sqf");
    ASSERT_TRUE(a && b);
    int pairs = 0;
    for (const TensorSpec& spec : tensor_specs(pair_model().make()->description)) {
      const auto x = a->find(spec.name), y = b->find(spec.name);
      ASSERT_TRUE(x && y);
      EXPECT_TRUE(base_bytes(*a, *x) == base_bytes(*b, *y)) << name << ' ' << spec.name;
      EXPECT_EQ(x->record->rank_pair, 0u);
      EXPECT_EQ(y->record->rank_pair, spec.layer >= 0 && spec.input >= 0 ? 8u : 0u);
      pairs += y->record->rank_pair > 0;
    }
    EXPECT_EQ(pairs, 14);
  }
}

TEST(Pair, WeighedByTheInputItGainsMore) {
  const TemporaryFolder folder;
  const auto run = [&](const char* words, bool weigh) {
    PlanOptions options = preset_options("rtn", words);
    options.weigh_low_rank = weigh;
    options.smoothing.sites[0] = SmoothState::none;
    auto made = write_method(pair_model(), options, folder / "a.sqf", replacing());
    EXPECT_TRUE(made);
    return weighed_error(folder / "a.sqf", pair_model(), *made);
  };
  // Also where no range is searched for, and nothing but the pair has a use for the weights.
  for (const char* range : {"range=search", "range=minmax"}) {
    const std::string words = std::string("bits=4,group=row,scale=f32,factor=none,") + range;
    const double base = run(words.c_str(), true);
    const double plain = run((words + ",lorc=8").c_str(), false);
    const double weighed = run((words + ",lorc=8").c_str(), true);
    EXPECT_LT(plain, base) << range;
    EXPECT_LT(weighed, 0.9 * plain) << range;
  }
}

TEST(Pair, MakesTwoBitsUsable) {
  const TemporaryFolder folder;
  const std::vector<int32_t> tokens = random_tokens(24, 5, 264);
  PlanOptions none = folding_options(SmoothMethod::none, 0, "qkv");
  ASSERT_TRUE(write_method(pair_model(), none, folder / "plain.sqf"));
  const auto plain = file_logits(folder / "plain.sqf", tokens, true);
  std::vector<double> errors;
  for (const char* words : {"bits=2", "bits=2,lorc=4", "bits=2,lorc=16"}) {
    ASSERT_TRUE(
        write_method(pair_model(), preset_options("rtn", words), folder / "two.sqf", replacing()));
    const auto logits = file_logits(folder / "two.sqf", tokens, true);
    double sum = 0;
    for (size_t i = 0; i < logits.size(); i++)
      sum += std::pow(static_cast<double>(logits[i]) - static_cast<double>(plain[i]), 2);
    errors.push_back(sum);
  }
  EXPECT_LT(errors[1], errors[0]);
  EXPECT_LT(errors[2], 0.7 * errors[0]);
}

}  // namespace
}  // namespace sqf

// QUIK's files: which columns are outliers, who shares them, what stands beside the codes, and
// that the runtime's integers say the same as the decoded numbers.
#include <cstring>

#include "loader/dequantize.hpp"
#include "runtime/multiplier.hpp"
#include "tests/methods/method_file.hpp"
#include "tests/runtime/multiply_reference.hpp"

namespace sqf {
namespace {

/// 160 columns inside, so that shares of the columns differ between inputs.
MethodModel quik_model() {
  return {Json{{"num_hidden_layers", 2}, {"intermediate_size", 160}, {"attention_bias", true}}, 8,
          [](RandomModel& model) { make_loud(model, 25); }};
}

struct QuikFile {
  TemporaryFolder folder;
  MethodFile made;
  ModelFile file;

  explicit QuikFile(const PlanOptions& options = preset_options("quik")) {
    auto written = write_method(quik_model(), options, folder / "a.sqf");
    EXPECT_TRUE(written) << written.error().message;
    made = std::move(*written);
    auto opened = ModelFile::open(folder / "a.sqf");
    EXPECT_TRUE(opened) << opened.error().message;
    file = std::move(*opened);
  }

  const Directory& directory() const { return file.head().directory; }

  std::vector<uint32_t> outliers(const InputRecord& input) const {
    const auto bytes = file.component(input.sets[1].columns);
    std::vector<uint32_t> list(bytes.size() / 4);
    std::memcpy(list.data(), bytes.data(), bytes.size());
    return list;
  }
};

TEST(Quik, InputsNameTheirLoudestColumns) {
  const QuikFile q;
  const auto model = quik_model().make();
  std::map<int64_t, uint32_t> records;
  for (const TensorSpec& spec : tensor_specs(model->description)) {
    if (spec.input < 0 || spec.layer < 0) continue;
    const TensorRecord& t = *q.file.find(spec.name)->record;
    const auto [at, first] = records.emplace(spec.input, t.input);
    EXPECT_EQ(at->second, t.input) << "readers of one input share its record";
    const InputRecord& input = q.directory().inputs[t.input];
    ASSERT_EQ(input.set_count, 2);
    EXPECT_EQ(input.sets[0].kind, ColumnKind::rest);
    EXPECT_EQ(input.sets[1].kind, ColumnKind::list);
    const bool down = spec.role == Role::down;
    EXPECT_EQ(input.sets[0].quantizer, QuantizerKind::integer);
    EXPECT_EQ(input.sets[0].bits, down ? 8 : 4);
    EXPECT_EQ(input.sets[0].asymmetric, 1);
    EXPECT_EQ(input.sets[1].quantizer, QuantizerKind::none);
    // A sixteenth, in whole 32s.
    EXPECT_EQ(input.sets[1].count, 32u);
    EXPECT_EQ(input.sets[0].count, static_cast<uint64_t>(spec.columns - 32));
    const std::vector<uint32_t> list = q.outliers(input);
    ASSERT_EQ(list.size(), 32u);
    EXPECT_EQ(list, q.made.choices[static_cast<size_t>(spec.input)].outliers);
    EXPECT_EQ(std::ranges::adjacent_find(list, std::greater_equal<>()), list.end());
    const auto& sizes = q.made.statistics.inputs[static_cast<size_t>(spec.input)].abs_max;
    float least = INFINITY, most = 0;
    for (uint32_t k = 0; k < sizes.size(); k++) {
      if (std::ranges::binary_search(list, k))
        least = std::min(least, sizes[k]);
      else
        most = std::max(most, sizes[k]);
    }
    EXPECT_GE(least, most);
    ASSERT_EQ(t.part_count, 2u);
    EXPECT_EQ(q.directory().parts[t.part_first + 1].column_set, 1u);
  }
  EXPECT_EQ(records.size(), 8u);
}

TEST(Quik, CountsOfOutliers) {
  const auto model = quik_model().make();
  const auto count = [&](const char* share) {
    PlanOptions options = preset_options("quik", (std::string("outliers=") + share).c_str());
    auto plan = make_plan(model->source, options);
    EXPECT_TRUE(plan);
    return std::pair{plan->inputs[0].outliers, plan->inputs[3].outliers};
  };
  EXPECT_EQ(count("0"), std::pair(int64_t{0}, int64_t{0}));
  EXPECT_EQ(count("0.0001"), std::pair(int64_t{32}, int64_t{32}));
  EXPECT_EQ(count("1/5"), std::pair(int64_t{32}, int64_t{32}));
  EXPECT_EQ(count("0.21"), std::pair(int64_t{32}, int64_t{64}));
  EXPECT_EQ(count("1/2"), std::pair(int64_t{32}, int64_t{96}));  // 80 columns are no whole 32s
  // A few columns are all coded: something must be.
  const RandomModel narrow(Json{{"hidden_size", 32}, {"num_attention_heads", 2}});
  auto plan = make_plan(narrow.source, preset_options("quik"));
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->inputs[0].outliers, 0);
  EXPECT_EQ(plan->inputs[3].outliers, 32);
}

TEST(Quik, RowSumsAreThoseOfTheCodes) {
  const QuikFile q;
  int checked = 0;
  for (size_t i = 0; i < q.directory().tensors.size(); i++) {
    const TensorView tensor = q.file.tensor(i);
    const PartRecord& record = q.directory().parts[tensor.record->part_first];
    if (record.row_sums == kNone) continue;
    const PartView part = q.file.part(tensor, 0);
    const auto sums = q.file.component(record.row_sums);
    std::vector<uint8_t> codes(static_cast<size_t>(kTileRows * part.columns));
    for (int64_t row = 0; row < part.rows; row++) {
      unpack_tile(part, row / kTileRows, codes.data());
      // zero=constant: codes stand around the middle of their range.
      const int32_t middle = static_cast<int32_t>(code_count(part.encoding)) / 2;
      int32_t sum = 0;
      for (int64_t k = 0; k < part.columns; k++)
        sum += codes[static_cast<size_t>(row % kTileRows * part.columns + k)] - middle;
      EXPECT_EQ(load<int32_t>(sums.data(), group_index(1, row, 0)), sum);
    }
    checked++;
  }
  EXPECT_EQ(checked, 14);
}

/// Decoded, the outlier columns took up what the coded ones lost: with the source's own values in
/// their place outputs are worse.
TEST(Quik, OutlierColumnsHoldWhatTheyTookUp) {
  // Behind the source's weights, so that the Gram matrix here is the one that was used.
  const TemporaryFolder folder;
  ConvertOptions convert_options;
  convert_options.behind_rounded = false;
  auto written =
      write_method(quik_model(), preset_options("quik"), folder / "a.sqf", convert_options);
  ASSERT_TRUE(written);
  auto file = ModelFile::open(folder / "a.sqf");
  ASSERT_TRUE(file);
  const auto model = quik_model().make();
  std::vector<std::vector<double>> grams(9);
  StatisticsOptions gather;
  gather.gram = [&](int64_t input, std::vector<double> gram) {
    grams[static_cast<size_t>(input)] = std::move(gram);
  };
  ASSERT_TRUE(gather_statistics(model->source, model->description,
                                random_windows(model->description), gather));
  for (const TensorSpec& spec : tensor_specs(model->description)) {
    if (spec.input < 0 || spec.layer < 0) continue;
    const auto k = static_cast<size_t>(spec.columns);
    const std::vector<float>& exact = model->values(spec.name);
    std::vector<float> w(exact.size());
    ASSERT_TRUE(dequantize(*file, *file->find(spec.name), {0, 0, static_cast<uint64_t>(spec.rows)},
                           w.data()));
    const auto error = [&](const std::vector<float>& decoded) {
      const auto& gram = grams[static_cast<size_t>(spec.input)];
      double sum = 0;
      for (size_t row = 0; row < w.size(); row += k)
        for (size_t i = 0; i < k; i++)
          for (size_t j = 0; j < k; j++)
            sum += (decoded[row + i] - exact[row + i]) * gram[i * k + j] *
                   (decoded[row + j] - exact[row + j]);
      return sum;
    };
    std::vector<float> untouched = w;
    for (const uint32_t column : written->choices[static_cast<size_t>(spec.input)].outliers)
      for (size_t row = 0; row < w.size(); row += k) untouched[row + column] = exact[row + column];
    EXPECT_LT(error(w), 0.9 * error(untouched)) << spec.name;
  }
}

std::vector<float> multiplied(const Linear& linear, const std::vector<float>& x, Isa isa) {
  ThreadPool pool(2);
  Multiplier multiplier(isa, false, &pool);
  const int64_t tokens = static_cast<int64_t>(x.size()) / linear.columns;
  const Linear* readers[] = {&linear};
  multiplier.prepare(readers, x.data(), tokens);
  std::vector<float> y(static_cast<size_t>(tokens * linear.rows));
  pool.run([&](int share, int shares) { multiplier.multiply(linear, y.data(), share, shares); });
  return y;
}

/// Within eight roundings of f32 of what is added up.
TEST(Quik, IntegersSayWhatTheDecodedNumbersSay) {
  PlanOptions smoothed = preset_options("quik", "lorc=4");
  smoothed.smoothing.method = SmoothMethod::smoothquant;
  smoothed.smoothing.alpha = 0.5;
  smoothed.smoothing.sites = *parse_sites("qkv,o:apply,gate_up:apply,down");
  PlanOptions fixed = preset_options("smoothquant", "act=int8:static");
  fixed.smoothing.alpha = 0.5;
  for (const PlanOptions& options : {preset_options("quik"), smoothed, fixed}) {
    const QuikFile q(options);
    int checked = 0;
    for (const TensorSpec& spec : tensor_specs(quik_model().make()->description)) {
      if (spec.input < 0 || spec.layer < 0) continue;
      const auto tensor = q.file.find(spec.name);
      ASSERT_TRUE(tensor);
      Feeds feeds;
      auto linear = load_linear(q.file, *tensor, &feeds);
      ASSERT_TRUE(linear) << linear.error().message;
      std::mt19937 random(static_cast<unsigned>(spec.input));
      std::vector<float> x(static_cast<size_t>(5 * spec.columns));
      for (size_t i = 0; i < x.size(); i++) {
        const size_t k = i % static_cast<size_t>(spec.columns);
        const float top = q.made.statistics.inputs[static_cast<size_t>(spec.input)].abs_max[k];
        x[i] = top * std::uniform_real_distribution<float>(-1, 1)(random);
      }
      const ReferenceProduct want = multiply_reference(q.file, *tensor, x, false);
      for (const Isa isa : {Isa::scalar, best_isa()}) {
        const std::vector<float> y = multiplied(*linear, x, isa);
        ASSERT_EQ(y.size(), want.y.size());
        for (size_t i = 0; i < y.size(); i++)
          ASSERT_NEAR(y[i], want.y[i], 8 * 0x1p-24 * want.magnitude[i]) << spec.name << ' ' << i;
      }
      checked++;
    }
    EXPECT_EQ(checked, 14);
  }
}

}  // namespace
}  // namespace sqf

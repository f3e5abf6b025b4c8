// The block that calibration runs is the block that the runtime runs.
#include "converter/calibration/block.hpp"

#include "converter/convert.hpp"
#include "runtime/engine.hpp"
#include "tests/calibration/random_model.hpp"
#include "tests/runtime/real_model.hpp"

namespace sqf {
namespace {

/// Logits [tokens][vocabulary] by the blocks; the last product in f64.
std::vector<double> block_logits(const SourceModel& source, const ModelDescription& d,
                                 std::span<const int32_t> tokens) {
  const BlockContext context(d, static_cast<int64_t>(tokens.size()));
  BlockScratch scratch(context);
  const int64_t hidden = d.hidden_size;
  std::vector<float> x(tokens.size() * static_cast<size_t>(hidden));
  EXPECT_TRUE(embed_tokens(source, d, tokens, x.data()));
  for (int64_t layer = 0; layer < d.layers; layer++) {
    auto block = Block::read(source, context, layer);
    EXPECT_TRUE(block) << block.error().message;
    int64_t next = 4 * layer;
    block->forward(
        context, x.data(), scratch,
        [&](int64_t input, const float*, int64_t count, int64_t columns) {
          EXPECT_EQ(input, next++);
          EXPECT_EQ(count, context.length);
          const int64_t widths[] = {hidden, d.heads * d.head_dim, hidden, d.intermediate_size};
          EXPECT_EQ(columns, widths[input % 4]);
        });
    EXPECT_EQ(next, 4 * layer + 4);
  }
  auto norm = read_final_norm(source, d);
  EXPECT_TRUE(norm);
  const SourceTensor* head =
      find_tensor(source, d.tied ? "model.embed_tokens.weight" : "lm_head.weight");
  std::vector<float> row(static_cast<size_t>(hidden));
  std::vector<double> logits(tokens.size() * static_cast<size_t>(d.vocab_size));
  for (size_t t = 0; t < tokens.size(); t++) {
    double squares = 0;
    float* at = x.data() + t * static_cast<size_t>(hidden);
    for (int64_t k = 0; k < hidden; k++) squares += double{at[k]} * at[k];
    const double scale = 1 / std::sqrt(squares / static_cast<double>(hidden) + d.norm_epsilon);
    for (int64_t k = 0; k < hidden; k++)
      at[k] = static_cast<float>(at[k] * scale * (*norm)[static_cast<size_t>(k)]);
  }
  for (int64_t n = 0; n < d.vocab_size; n++) {
    read_rows(*head, n, 1, row.data());
    for (size_t t = 0; t < tokens.size(); t++) {
      double sum = 0;
      for (size_t k = 0; k < row.size(); k++) sum += double{row[k]} * x[t * row.size() + k];
      logits[t * static_cast<size_t>(d.vocab_size) + static_cast<size_t>(n)] = sum;
    }
  }
  return logits;
}

/// The largest difference from the runtime's logits, as a share of the largest logit.
double difference(const SourceModel& source, const std::filesystem::path& file,
                  std::span<const int32_t> tokens) {
  auto opened = ModelFile::open(file);
  EXPECT_TRUE(opened) << opened.error().message;
  auto engine = Engine::create(*opened, {.threads = 2, .exact = true, .context = 512});
  EXPECT_TRUE(engine) << engine.error().message;
  EXPECT_TRUE(engine->forward(tokens, LogitsOf::all_tokens));
  const std::vector<double> ours = block_logits(source, engine->description(), tokens);
  double worst = 0, largest = 0;
  size_t at = 0;
  for (size_t t = 0; t < tokens.size(); t++)
    for (const float logit : engine->logits(static_cast<int64_t>(t))) {
      worst = std::max(worst, std::abs(logit - ours[at++]));
      largest = std::max(largest, std::abs(double{logit}));
    }
  EXPECT_EQ(at, ours.size());
  return worst / largest;
}

TEST(Block, LogitsAreTheRuntimes) {
  const TemporaryFolder folder;
  for (const auto& [name, changes] : model_variants()) {
    // Two of the same: pages that convert() has read it gives back, which clears memory that no
    // file stands behind.
    const RandomModel given(changes), model(changes);
    auto plan = make_plan(given.source, method_options(Method::none));
    ASSERT_TRUE(plan) << name << ": " << plan.error().message;
    ConvertOptions options;
    options.replace = true;
    ASSERT_TRUE(convert(given.source, *plan, folder / "m.sqf", options));
    // 71: past one block of queries, no multiple of the rows that a product takes at once.
    for (const int64_t count : {1, 5, 71}) {
      const auto tokens = random_tokens(count, 7, model.description.vocab_size);
      EXPECT_LE(difference(model.source, folder / "m.sqf", tokens), 1e-5)
          << name << ", " << count << " tokens";
    }
  }
}

TEST(Block, LogitsOfTheRealModelAreTheRuntimes) {
  SQF_NEEDS("SQF_SMOLLM2");
  auto path = converted("SQF_SMOLLM2", "none.sqf", method_options(Method::none));
  ASSERT_TRUE(path) << path.error().message;
  auto source = open_source(std::getenv("SQF_SMOLLM2"));
  ASSERT_TRUE(source) << source.error().message;
  const double worst = difference(*source, *path, random_tokens(40, 3, 49152));
  std::printf("largest difference %.2e of the largest logit\n", worst);
  EXPECT_LE(worst, 1e-5);
}

TEST(Block, RefusesTensorsThatDoNotFit) {
  RandomModel model(Json::object());
  const BlockContext context(model.description, 4);
  SourceModel& source = model.source;
  const auto at = std::find_if(source.tensors.begin(), source.tensors.end(), [](const auto& t) {
    return t.name == "model.layers.1.mlp.up_proj.weight";
  });
  at->shape = {64, 96};
  auto misshapen = Block::read(source, context, 1);
  ASSERT_FALSE(misshapen);
  EXPECT_EQ(misshapen.error().message,
            "tensor \"model.layers.1.mlp.up_proj.weight\" is [64, 96], config.json asks for [96, "
            "64]");
  source.tensors.erase(at);
  auto missing = Block::read(source, context, 1);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().message, "tensor \"model.layers.1.mlp.up_proj.weight\" is missing");
  EXPECT_TRUE(Block::read(source, context, 2));
  std::vector<float> x(64);
  for (const int32_t bad : {-1, 264}) {
    auto r = embed_tokens(source, model.description, std::span(&bad, 1), x.data());
    ASSERT_FALSE(r);
    EXPECT_EQ(r.error().code, Code::usage);
  }
}

/// All strides and remainders of a product against a plain sum.
TEST(Block, ProductsAreSumsInOrder) {
  std::mt19937 random(9);
  std::normal_distribution<float> normal;
  for (const int64_t rows : {1, 3, 4, 12, 13, 100})
    for (const int64_t n : {1, 15, 16, 33})
      for (const int64_t k : {1, 31, 256, 300}) {
        std::vector<float> a(static_cast<size_t>(rows * k)), b(static_cast<size_t>(n * k));
        for (float& v : a) v = normal(random);
        for (float& v : b) v = normal(random);
        Panels by_rows, by_columns;
        by_rows.resize(k, n);
        by_columns.resize(k, n);
        pack_rows(b.data(), k, 0, n, &by_rows);
        std::vector<float> turned(b.size());
        for (int64_t i = 0; i < n; i++)
          for (int64_t j = 0; j < k; j++)
            turned[static_cast<size_t>(j * n + i)] = b[static_cast<size_t>(i * k + j)];
        pack_columns(turned.data(), n, &by_columns);
        EXPECT_EQ(by_rows.data, by_columns.data);
        // Places between the rows stay as they are.
        std::vector<float> y(static_cast<size_t>(rows * (n + 3)), 5.0f);
        multiply({{a.data(), k, 1}, rows, by_rows, k, n, y.data(), n + 3});
        for (const Multiply kernel : multiply_kernels()) {
          std::vector<float> same(y.size(), 5.0f);
          kernel({{a.data(), k, 1}, rows, by_rows, k, n, same.data(), n + 3});
          EXPECT_EQ(same, y);
        }
        for (int64_t t = 0; t < rows; t++)
          for (int64_t i = 0; i < n + 3; i++) {
            double sum = i < n ? 0 : 5, size = 0;
            for (int64_t j = 0; i < n && j < k; j++) {
              const double term = double{a[static_cast<size_t>(t * k + j)]} *
                                  double{b[static_cast<size_t>(i * k + j)]};
              sum += term;
              size += std::abs(term);
            }
            ASSERT_LE(std::abs(y[static_cast<size_t>(t * (n + 3) + i)] - sum),
                      static_cast<double>(k) * 0x1p-24 * size)
                << rows << " " << n << " " << k;
          }
      }
}

}  // namespace
}  // namespace sqf

// Whole models on the GPU's kernels: logits and tokens of the CPU's exact path.
#include <gtest/gtest.h>

#include <cmath>

#include "cuda/cuda_backend.hpp"
#include "runtime/sampler.hpp"
#include "tests/runtime/composed_model.hpp"
#include "tests/runtime/real_model.hpp"

namespace sqf {
namespace {

constexpr int64_t kContext = 96;

ModelDescription description(bool tied, int64_t head_dim) {
  ModelDescription d = tiny(tied);
  d.head_dim = head_dim;
  d.context_length = kContext;
  d.qk_norm = QkNorm::per_head;  // weights are random: without it attention is a game of chance
  return d;
}

struct Pair {
  TemporaryFolder folder;
  ModelFile file;
  std::optional<Engine> cpu, gpu;

  Pair(const ModelDescription& d, bool quantizers, int64_t gpu_layers = -1) {
    write_model(d, folder / "a.sqf", {}, quantizers);
    auto opened = ModelFile::open(folder / "a.sqf");
    EXPECT_TRUE(opened) << opened.error().message;
    if (!opened) return;
    file = std::move(*opened);
    auto a = Engine::create(file, {.exact = true, .half_cache = true, .context = kContext});
    auto b = make_cuda_engine(
        file, {.exact = true, .half_cache = true, .context = kContext, .gpu_layers = gpu_layers});
    EXPECT_TRUE(a && b) << (a ? b.error().message : a.error().message);
    if (!a || !b) return;
    cpu.emplace(std::move(*a));
    gpu.emplace(std::move(*b));
  }
};

std::vector<int32_t> some_tokens(int64_t count, int64_t vocab) {
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < count; i++)
    tokens.push_back(static_cast<int32_t>((i * i * 7 + 3) % vocab));
  return tokens;
}

/// The largest difference of two rows of logits over the largest of them.
double difference(std::span<const float> a, std::span<const float> b) {
  double largest = 0, apart = 0;
  for (size_t i = 0; i < a.size(); i++) {
    largest = std::max(largest, std::fabs(static_cast<double>(b[i])));
    const double now = std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    apart = std::isnan(now) ? INFINITY : std::max(apart, now);
  }
  return apart / largest;
}

constexpr double kLogitBound = 1e-3;

int32_t greedy_of(Engine& engine, std::span<const int32_t> tokens) {
  EXPECT_TRUE(engine.forward(tokens, LogitsOf::all_tokens));
  return greedy(engine.logits(static_cast<int64_t>(tokens.size()) - 1));
}

void expect_same(const ModelDescription& d, int64_t gpu_layers = -1) {
  Pair models(d, false, gpu_layers);
  ASSERT_TRUE(models.cpu && models.gpu);
  // More than one block of tokens of the prefill kernel, then one by one on the cache.
  const auto tokens = some_tokens(70, d.vocab_size);
  for (Engine* e : {&*models.cpu, &*models.gpu}) {
    auto r = e->forward(tokens, LogitsOf::all_tokens);
    ASSERT_TRUE(r) << r.error().message;
  }
  for (int64_t t = 0; t < 70; t++)
    EXPECT_LE(difference(models.gpu->logits(t), models.cpu->logits(t)), kLogitBound) << t;
  for (int64_t count : {1, 1, 9, 1, 12}) {
    const auto next = some_tokens(count, d.vocab_size);
    for (Engine* e : {&*models.cpu, &*models.gpu}) {
      auto r = e->forward(next);
      ASSERT_TRUE(r) << r.error().message;
    }
    EXPECT_LE(difference(models.gpu->logits(), models.cpu->logits()), kLogitBound) << count;
  }
  // Back, and on another way.
  for (Engine* e : {&*models.cpu, &*models.gpu}) {
    e->rewind(5);
    const int32_t other = 11;
    ASSERT_TRUE(e->forward(std::span(&other, 1)));
  }
  EXPECT_LE(difference(models.gpu->logits(), models.cpu->logits()), kLogitBound);
}

TEST(CudaModel, LogitsOfTheCpu) {
  expect_same(description(false, 16));
}

TEST(CudaModel, TiedToAComposedEmbedding) {
  expect_same(description(true, 40));
}

/// The first layers stay on the CPU: tied and untied, whose tables of embeddings are placed apart.
TEST(CudaModel, LayersOnTheCpu) {
  for (const bool tied : {false, true}) {
    ModelDescription d = description(tied, 16);
    d.layers = 3;
    for (const int64_t gpu_layers : {1, 2}) expect_same(d, gpu_layers);
  }
}

TEST(CudaModel, PlacesOnlyWhatItsLayersRead) {
  TemporaryFolder folder;
  ModelDescription d = description(false, 16);
  d.layers = 4;
  write_model(d, folder / "a.sqf");
  auto file = ModelFile::open(folder / "a.sqf");
  ASSERT_TRUE(file);
  EngineOptions options;
  const uint64_t all = place_model(*file, d, options).weights;
  EXPECT_EQ(layers_that_fit(*file, d, options, 0), 0);
  uint64_t before = 0;
  for (int64_t layers = 1; layers <= d.layers; layers++) {
    options.gpu_layers = layers;
    const Placement placement = place_model(*file, d, options);
    EXPECT_EQ(placement.layers, layers);
    EXPECT_GT(placement.weights, before);
    before = placement.weights;
    EXPECT_EQ(layers_that_fit(*file, d, options, placement.total()), layers);
    EXPECT_EQ(layers_that_fit(*file, d, options, placement.total() - 1), layers - 1);
    // What is left out are the embedding and whole layers.
    uint64_t left_out = 0;
    for (const TensorSpec& spec : tensor_specs(d))
      if (layers < d.layers &&
          (spec.role == Role::embedding || (spec.layer >= 0 && spec.layer < d.layers - layers)))
        left_out += stored_bytes(file->head().directory, *file->find(spec.name)->record);
    EXPECT_LE(placement.weights, all - left_out);
    EXPECT_GE(placement.weights + left_out + 64 * 20 * static_cast<uint64_t>(d.layers), all);
  }
  options.gpu_layers = 100;
  EXPECT_EQ(place_model(*file, d, options).layers, d.layers);
}

/// Tokens that the CPU's two best logits leave within the bound of each other are nobody's mistake:
/// they are counted, and both go on with the CPU's.
TEST(CudaModel, GreedyTokensOfTheCpu) {
  const ModelDescription d = description(false, 64);
  Pair models(d, false);
  ASSERT_TRUE(models.cpu && models.gpu);
  const auto prompt = some_tokens(20, d.vocab_size);
  for (Engine* e : {&*models.cpu, &*models.gpu}) ASSERT_TRUE(e->forward(prompt));
  int ties = 0;
  for (int i = 0; i < 40; i++) {
    const auto logits = models.cpu->logits();
    const int32_t want = greedy(logits), got = greedy(models.gpu->logits());
    if (got != want) {
      double largest = 0;
      for (float v : logits) largest = std::max(largest, std::fabs(static_cast<double>(v)));
      const double apart = static_cast<double>(logits[static_cast<size_t>(want)]) -
                           static_cast<double>(logits[static_cast<size_t>(got)]);
      ASSERT_LE(apart, 2 * kLogitBound * largest) << "token " << i;
      ties++;
    }
    for (Engine* e : {&*models.cpu, &*models.gpu}) ASSERT_TRUE(e->forward(std::span(&want, 1)));
  }
  RecordProperty("ties", ties);
  EXPECT_LE(ties, 4);
}

/// The default 4-bit file of a real model: eight tokens at once, then one more. Under an emulator a
/// pass over its weights takes half a minute, so it is two.
TEST(Reference, CudaLogitsOfTheCpu) {
  SQF_NEEDS("SQF_SMOLLM2");
  const auto path = converted("SQF_SMOLLM2", "cuda.sqf", {});
  ASSERT_TRUE(path) << path.error().message;
  auto file = ModelFile::open(*path);
  ASSERT_TRUE(file) << file.error().message;
  auto cpu =
      Engine::create(*file, {.threads = 2, .exact = true, .half_cache = true, .context = 16});
  auto gpu = make_cuda_engine(*file, {.exact = true, .context = 16});
  ASSERT_TRUE(cpu && gpu) << (cpu ? gpu.error().message : cpu.error().message);
  const std::vector<int32_t> tokens = {504, 3575, 282, 4649, 314, 4, 1, 260};
  const int32_t next = greedy_of(*cpu, tokens);
  double worst = 0;
  for (int64_t t = 0; t < 8; t += 4) {
    const auto some = std::span(tokens).subspan(static_cast<size_t>(t), 4);
    ASSERT_TRUE(gpu->forward(some, LogitsOf::all_tokens));
    for (int64_t i = 0; i < 4; i++) {
      const double apart = difference(gpu->logits(i), cpu->logits(t + i));
      std::printf("token %d: %.1e\n", static_cast<int>(t + i), apart);
      worst = std::max(worst, apart);
    }
  }
  for (Engine* e : {&*cpu, &*gpu}) ASSERT_TRUE(e->forward(std::span(&next, 1)));
  worst = std::max(worst, difference(gpu->logits(), cpu->logits()));
  std::printf("largest difference: %.2e of the largest logit\n", worst);
  EXPECT_LE(worst, kLogitBound);
}

TEST(CudaModel, RefusesHeadsThatAttentionCannotTake) {
  TemporaryFolder folder;
  write_model(tiny(false), folder / "a.sqf");
  auto file = ModelFile::open(folder / "a.sqf");
  ASSERT_TRUE(file);
  const auto engine = make_cuda_engine(*file, {});
  ASSERT_FALSE(engine);
  EXPECT_EQ(engine.error().code, Code::unsupported);
  EXPECT_NE(engine.error().message.find("heads of 14"), std::string::npos)
      << engine.error().message;
}

}  // namespace
}  // namespace sqf

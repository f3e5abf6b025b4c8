// A tiny model whose layers are compositions of every kind, through the engine, against a forward
// pass in f64 that takes its products from multiply_reference.
#include <algorithm>

#include "runtime/engine.hpp"
#include "tests/runtime/composed_model.hpp"
#include "tests/runtime/multiply_reference.hpp"

namespace sqf {
namespace {

constexpr int64_t kTokens = 9;

using Values = std::vector<double>;  // [tokens][...]

/// The forward pass as papers write it.
class Forward {
 public:
  Forward(const ModelFile& file, const ModelDescription& d) : file_(file), d_(d) {}

  Values logits(const std::vector<int32_t>& tokens) const {
    Values x;
    const auto table = *file_.find("model.embed_tokens.weight");
    std::vector<float> row(static_cast<size_t>(d_.hidden_size));
    for (int32_t token : tokens) {
      EXPECT_TRUE(effective(file_, table, {0, static_cast<uint64_t>(token), 1}, row.data()));
      x.insert(x.end(), row.begin(), row.end());
    }
    for (int64_t l = 0; l < d_.layers; l++) {
      const std::string layer = "model.layers." + std::to_string(l) + ".";
      add(x, attention(layer + "self_attn.", normed(x, layer + "input_layernorm")));
      const Values h = normed(x, layer + "post_attention_layernorm");
      Values gate = times(h, layer + "mlp.gate_proj");
      const Values up = times(h, layer + "mlp.up_proj");
      for (size_t i = 0; i < gate.size(); i++) gate[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
      add(x, times(gate, layer + "mlp.down_proj"));
    }
    const Values h = normed(x, "model.norm");
    return d_.tied ? times(h, "model.embed_tokens") : times(h, "lm_head");
  }

 private:
  static void add(Values& x, const Values& y) {
    for (size_t i = 0; i < x.size(); i++) x[i] += y[i];
  }

  Values times(const Values& x, const std::string& name) const {
    const std::vector<float> rounded(x.begin(), x.end());
    return multiply_reference(file_, *file_.find(name + ".weight"), rounded, true).y;
  }

  Values normed(const Values& x, const std::string& name) const {
    const auto n = static_cast<size_t>(d_.hidden_size);
    std::vector<float> weight(n);
    EXPECT_TRUE(dequantize(file_, *file_.find(name + ".weight"), {0, 0, 1}, weight.data()));
    Values out(x.size());
    for (size_t begin = 0; begin < x.size(); begin += n) {
      double squares = 0;
      for (size_t i = 0; i < n; i++) squares += x[begin + i] * x[begin + i];
      const double root = std::sqrt(squares / static_cast<double>(n) + d_.norm_epsilon);
      for (size_t i = 0; i < n; i++) out[begin + i] = x[begin + i] / root * weight[i];
    }
    return out;
  }

  void turn(Values& x, size_t heads) const {
    const auto dim = static_cast<size_t>(d_.head_dim), half = dim / 2;
    for (size_t head = 0; head < x.size() / dim; head++)
      for (size_t i = 0; i < half; i++) {
        const double angle = static_cast<double>(head / heads) *
                             std::pow(static_cast<double>(d_.rope_theta),
                                      -2.0 * static_cast<double>(i) / static_cast<double>(dim));
        double &a = x[head * dim + i], &b = x[head * dim + i + half];
        const double turned = a * std::cos(angle) - b * std::sin(angle);
        b = b * std::cos(angle) + a * std::sin(angle);
        a = turned;
      }
  }

  Values attention(const std::string& prefix, const Values& h) const {
    const auto dim = static_cast<size_t>(d_.head_dim), heads = static_cast<size_t>(d_.heads),
               kv = static_cast<size_t>(d_.kv_heads);
    Values q = times(h, prefix + "q_proj"), k = times(h, prefix + "k_proj");
    const Values v = times(h, prefix + "v_proj");
    turn(q, heads);
    turn(k, kv);
    const size_t tokens = q.size() / heads / dim;
    Values out(q.size());
    for (size_t t = 0; t < tokens; t++)
      for (size_t head = 0; head < heads; head++) {
        const double* query = &q[(t * heads + head) * dim];
        const size_t group = head / (heads / kv);
        Values weights(t + 1);
        for (size_t s = 0; s <= t; s++)
          for (size_t i = 0; i < dim; i++) weights[s] += query[i] * k[(s * kv + group) * dim + i];
        const double largest = *std::max_element(weights.begin(), weights.end());
        double sum = 0;
        for (double& w : weights)
          sum += w = std::exp((w - largest) / std::sqrt(static_cast<double>(dim)));
        for (size_t s = 0; s <= t; s++)
          for (size_t i = 0; i < dim; i++)
            out[(t * heads + head) * dim + i] += weights[s] / sum * v[(s * kv + group) * dim + i];
      }
    return times(out, prefix + "o_proj");
  }

  const ModelFile& file_;
  const ModelDescription& d_;
};

void expect_logits(std::span<const float> got, const double* want, const std::string& what) {
  double largest = 0;
  for (size_t i = 0; i < got.size(); i++) largest = std::max(largest, std::fabs(want[i]));
  for (size_t i = 0; i < got.size(); i++)
    ASSERT_NEAR(got[i], want[i], 1e-4 * largest) << what << " logit " << i;
}

void check(bool tied) {
  const ModelDescription d = tiny(tied);
  TemporaryFolder folder;
  write_model(d, folder / "a.sqf");
  if (testing::Test::HasFatalFailure()) return;
  auto file = ModelFile::open(folder / "a.sqf");
  ASSERT_TRUE(file) << file.error().message;
  const std::vector<int32_t> tokens = {3, 44, 0, 17, 17, 8, 30, 2, 21};
  ASSERT_EQ(tokens.size(), static_cast<size_t>(kTokens));
  const Values want = Forward(*file, d).logits(tokens);
  for (int threads : {1, 2}) {
    auto engine = Engine::create(*file, {.threads = threads, .exact = true, .context = 32});
    ASSERT_TRUE(engine) << engine.error().message;
    ASSERT_TRUE(engine->forward(tokens, LogitsOf::all_tokens));
    for (int64_t t = 0; t < kTokens; t++)
      expect_logits(engine->logits(t), want.data() + t * d.vocab_size,
                    "token " + std::to_string(t));
    // One by one, on the cache.
    engine->rewind(0);
    for (int64_t t = 0; t < kTokens; t++) {
      ASSERT_TRUE(engine->forward(std::span(tokens).subspan(static_cast<size_t>(t), 1)));
      expect_logits(engine->logits(), want.data() + t * d.vocab_size,
                    "alone, token " + std::to_string(t));
    }
  }
}

TEST(ComposedModel, HeadOfItsOwn) {
  check(false);
}

TEST(ComposedModel, TiedToAComposedEmbedding) {
  check(true);
}

TEST(ComposedModel, RefusesAVectorToBeSmoothed) {
  TemporaryFolder folder;
  write_model(tiny(false), folder / "a.sqf", "model.norm.weight");
  const auto file = ModelFile::open(folder / "a.sqf");
  ASSERT_TRUE(file) << file.error().message;
  const auto engine = Engine::create(*file, {});
  ASSERT_FALSE(engine);
  EXPECT_EQ(engine.error().code, Code::unsupported);
  EXPECT_NE(engine.error().message.find("\"model.norm.weight\""), std::string::npos)
      << engine.error().message;
}

}  // namespace
}  // namespace sqf

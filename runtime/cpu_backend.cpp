#include "runtime/cpu_backend.hpp"

#include <algorithm>
#include <cmath>

#include "format/scalar.hpp"
#include "loader/dequantize.hpp"
#include "runtime/cpu/ops.hpp"
#include "runtime/kv_cache.hpp"
#include "runtime/multiplier.hpp"
#include "runtime/rope.hpp"
#include "runtime/thread_pool.hpp"

namespace sqf {
namespace {

constexpr int64_t kBatch = 512;  // tokens that go through a layer together

struct CpuBackend final : Backend {
  const ModelFile& file;
  ModelDescription d;
  EngineOptions options;
  Weights weights;
  KvCache cache;
  ThreadPool pool;
  std::vector<float> frequencies;
  int64_t position = 0;

  // One batch of tokens [T]. x is the residual stream.
  std::vector<float> x, normed, q, k, v, attended, gate, up, projected;  // [T][...]
  std::vector<float> cosines, sines;                                     // [T][head_dim / 2]
  std::vector<float> head_input, logits;
  std::vector<float> scratch;  // [threads][attention_scratch]
  Multiplier multiplier;       // with the activation in hand

  CpuBackend(const ModelFile& f, ModelDescription description, const EngineOptions& o)
      : file(f),
        d(std::move(description)),
        options(o),
        pool(o.threads),
        multiplier(o.isa, o.exact, &pool) {}

  const ModelDescription& description() const override { return d; }
  int64_t context() const override { return options.context; }
  uint64_t weight_bytes() const override { return weights.bytes_per_token; }
  std::span<const float> logits_of(int64_t i) const override {
    const auto vocab = static_cast<size_t>(d.vocab_size);
    return std::span(logits).subspan(static_cast<size_t>(i) * vocab, vocab);
  }
  Result<void> forward(std::span<const int32_t> tokens, int64_t first, LogitsOf which) override;

  Result<void> embed(std::span<const int32_t> tokens);
  void prepare_rope(int64_t tokens);
  /// `input` [T][columns] is what `readers` multiply from now on.
  void prepare(std::initializer_list<const Linear*> readers, const float* input, int64_t tokens) {
    multiplier.prepare(std::span(readers.begin(), readers.size()), input, tokens);
  }
  float cached(float value) const {
    return options.half_cache ? f16_to_f32(f32_to_f16(value)) : value;
  }
  void attention(LayerWeights& layer, int64_t index, int64_t tokens);
  void positions(const LayerWeights& layer, int64_t layer_index, int64_t token);
  void feed_forward(LayerWeights& layer, int64_t tokens);
  void residual(const Linear& linear, const float* input, int64_t tokens);
  void norm(const std::vector<float>& weight, int64_t tokens);
  Result<void> batch(std::span<const int32_t> tokens, LogitsOf which, bool wanted,
                     int64_t logits_at);
};

Result<void> CpuBackend::embed(std::span<const int32_t> tokens) {
  const Embedding& e = weights.embedding;
  if (e.composed) {
    for (size_t t = 0; t < tokens.size(); t++) {
      const auto row = static_cast<uint64_t>(tokens[t]);
      float* to = x.data() + static_cast<int64_t>(t) * d.hidden_size;
      if (auto r = effective(file, e.tensor, {0, row, 1}, to); !r) return r;
    }
    return {};
  }
  pool.run([&](int share, int shares) {
    const Slice slice(static_cast<int64_t>(tokens.size()), share, shares);
    for (int64_t t = slice.begin; t < slice.end; t++)
      decode_row(e.rows, tokens[static_cast<size_t>(t)], x.data() + t * d.hidden_size);
  });
  return {};
}

void CpuBackend::prepare_rope(int64_t tokens) {
  const auto half = static_cast<int64_t>(frequencies.size());
  for (int64_t t = 0; t < tokens; t++) {
    for (int64_t i = 0; i < half; i++) {
      const float angle = static_cast<float>(position + t) * frequencies[static_cast<size_t>(i)];
      cosines[static_cast<size_t>(t * half + i)] = std::cos(angle);
      sines[static_cast<size_t>(t * half + i)] = std::sin(angle);
    }
  }
}

void CpuBackend::norm(const std::vector<float>& weight, int64_t tokens) {
  pool.run([&](int share, int shares) {
    const Slice slice(tokens, share, shares);
    for (int64_t t = slice.begin; t < slice.end; t++)
      rms_norm(x.data() + t * d.hidden_size, weight.data(), d.hidden_size, d.norm_epsilon,
               normed.data() + t * d.hidden_size);
  });
}

void CpuBackend::residual(const Linear& linear, const float* input, int64_t tokens) {
  prepare({&linear}, input, tokens);
  pool.run([&](int share, int shares) {
    multiplier.multiply(linear, projected.data(), share, shares);
    const int64_t rows = linear.rows;
    const Slice tiles(tiles_of(rows), share, shares);
    const int64_t begin = tiles.begin * kTileRows, end = std::min(tiles.end * kTileRows, rows);
    for (int64_t t = 0; t < tokens; t++)
      add(projected.data() + t * rows + begin, end - begin, x.data() + t * rows + begin);
  });
}

/// Norms and turns the heads of one token, and puts its keys and values into the cache.
void CpuBackend::positions(const LayerWeights& layer, int64_t layer_index, int64_t token) {
  const int64_t dim = d.head_dim, half = dim / 2;
  const float* cosine = cosines.data() + token * half;
  const float* sine = sines.data() + token * half;
  for (int64_t h = 0; h < d.heads; h++) {
    float* head = q.data() + (token * d.heads + h) * dim;
    if (!layer.q_norm.empty()) rms_norm(head, layer.q_norm.data(), dim, d.norm_epsilon, head);
    rotate(head, cosine, sine, dim);
  }
  for (int64_t h = 0; h < d.kv_heads; h++) {
    float* head = k.data() + (token * d.kv_heads + h) * dim;
    if (!layer.k_norm.empty()) rms_norm(head, layer.k_norm.data(), dim, d.norm_epsilon, head);
    rotate(head, cosine, sine, dim);
    for (int64_t i = 0; i < dim; i++) head[i] = cached(head[i]);
    const HeadCache to = cache.head(layer_index, h);
    store_key(head, position + token, dim, to.keys);
    const float* value = v.data() + (token * d.kv_heads + h) * dim;
    float* kept = to.values + (position + token) * dim;
    for (int64_t i = 0; i < dim; i++) kept[i] = cached(value[i]);
  }
}

void CpuBackend::attention(LayerWeights& layer, int64_t index, int64_t tokens) {
  norm(layer.attention_norm, tokens);
  prepare({&layer.q, &layer.k, &layer.v}, normed.data(), tokens);
  pool.run([&](int share, int shares) {
    multiplier.multiply(layer.q, q.data(), share, shares);
    multiplier.multiply(layer.k, k.data(), share, shares);
    multiplier.multiply(layer.v, v.data(), share, shares);
  });
  const auto place = [&](int share, int shares) {
    const Slice slice(tokens, share, shares);
    for (int64_t t = slice.begin; t < slice.end; t++) positions(layer, index, t);
  };
  if (tokens == 1)
    place(0, 1);
  else
    pool.run(place);

  // Queries of one key head, token by token: neighbours share keys and nearly the same length.
  const int64_t group = d.heads / d.kv_heads, per_head = tokens * group, dim = d.head_dim;
  const int64_t blocks = (per_head + kQueryBlock - 1) / kQueryBlock;
  const int64_t scratch_size = attention_scratch(position + tokens);
  scratch.resize(static_cast<size_t>(scratch_size * pool.size()));
  pool.run([&](int share, int shares) {
    // Later blocks look further back: dealt out in turn, the shares come out even.
    for (int64_t item = share; item < d.kv_heads * blocks; item += shares) {
      const int64_t kv_head = item / blocks, first = item % blocks * kQueryBlock;
      std::array<Query, kQueryBlock> queries = {};
      size_t count = 0;
      for (int64_t i = first; i < std::min(first + kQueryBlock, per_head); i++) {
        const int64_t token = i / group, head = kv_head * group + i % group;
        const int64_t at = (token * d.heads + head) * dim;
        queries[count++] = {q.data() + at, position + token + 1, attended.data() + at};
      }
      attend(std::span(queries).first(count), cache.head(index, kv_head), dim,
             scratch.data() + share * scratch_size);
    }
  });
  residual(layer.o, attended.data(), tokens);
}

void CpuBackend::feed_forward(LayerWeights& layer, int64_t tokens) {
  norm(layer.mlp_norm, tokens);
  prepare({&layer.gate, &layer.up}, normed.data(), tokens);
  pool.run([&](int share, int shares) {
    multiplier.multiply(layer.gate, gate.data(), share, shares);
    multiplier.multiply(layer.up, up.data(), share, shares);
    const int64_t rows = d.intermediate_size;
    const Slice tiles(tiles_of(rows), share, shares);
    const int64_t begin = tiles.begin * kTileRows, end = std::min(tiles.end * kTileRows, rows);
    for (int64_t t = 0; t < tokens; t++) {
      float* g = gate.data() + t * rows + begin;
      silu_multiply(g, up.data() + t * rows + begin, end - begin, g);
    }
  });
  residual(layer.down, gate.data(), tokens);
}

/// Runs tokens (at most kBatch) through the model; `logits_at` is where their logits go.
Result<void> CpuBackend::batch(std::span<const int32_t> tokens, LogitsOf which, bool wanted,
                               int64_t logits_at) {
  const auto count = static_cast<int64_t>(tokens.size());
  if (auto r = embed(tokens); !r) return r;
  prepare_rope(count);
  for (size_t l = 0; l < weights.layers.size(); l++) {
    attention(weights.layers[l], static_cast<int64_t>(l), count);
    feed_forward(weights.layers[l], count);
  }
  position += count;
  if (!wanted) return {};
  const int64_t scored = which == LogitsOf::all_tokens ? count : 1;
  norm(weights.final_norm, count);
  const float* last = normed.data() + (count - scored) * d.hidden_size;
  prepare({&weights.head}, last, scored);
  pool.run([&](int share, int shares) {
    multiplier.multiply(weights.head, logits.data() + logits_at * d.vocab_size, share, shares);
  });
  return {};
}

Result<void> CpuBackend::forward(std::span<const int32_t> tokens, int64_t first, LogitsOf which) {
  const auto count = static_cast<int64_t>(tokens.size());
  position = first;
  const auto size = [&](int64_t columns) {
    return static_cast<size_t>(std::min(count, kBatch) * columns);
  };
  for (auto* buffer : {&x, &normed, &projected})
    buffer->resize(std::max(buffer->size(), size(d.hidden_size)));
  for (auto* buffer : {&q, &attended})
    buffer->resize(std::max(buffer->size(), size(d.heads * d.head_dim)));
  for (auto* buffer : {&k, &v})
    buffer->resize(std::max(buffer->size(), size(d.kv_heads * d.head_dim)));
  for (auto* buffer : {&gate, &up})
    buffer->resize(std::max(buffer->size(), size(d.intermediate_size)));
  for (auto* buffer : {&cosines, &sines})
    buffer->resize(std::max(buffer->size(), size(d.head_dim / 2)));
  logits.resize(static_cast<size_t>((which == LogitsOf::all_tokens ? count : 1) * d.vocab_size));

  for (int64_t done = 0; done < count; done += kBatch) {
    const auto part = tokens.subspan(static_cast<size_t>(done),
                                     static_cast<size_t>(std::min(kBatch, count - done)));
    const bool all = which == LogitsOf::all_tokens;
    if (auto r = batch(part, which, all || done + kBatch >= count, all ? done : 0); !r) return r;
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Backend>> make_cpu_backend(const ModelFile& file,
                                                  const EngineOptions& options) {
  auto description = description_from_json(file.head().meta["model"]);
  if (!description) return description.error();
  auto weights = load_weights(file, *description);
  if (!weights) return weights.error();
  auto backend = std::make_unique<CpuBackend>(file, std::move(*description), options);
  CpuBackend& b = *backend;
  b.weights = std::move(*weights);
  b.options.context = std::min(std::max<int64_t>(options.context, 1), b.d.context_length);
  auto cache = KvCache::create(b.d.layers, b.d.kv_heads, b.d.head_dim, b.options.context);
  if (!cache) return cache.error();
  b.cache = std::move(*cache);
  b.frequencies = rope_frequencies(b.d);
  return std::unique_ptr<Backend>(std::move(backend));
}

}  // namespace sqf

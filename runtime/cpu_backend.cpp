#include "runtime/cpu_backend.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

#include "format/scalar.hpp"
#include "loader/dequantize.hpp"
#include "runtime/cpu/ops.hpp"
#include "runtime/kv_cache.hpp"
#include "runtime/multiplier.hpp"
#include "runtime/rope.hpp"
#include "runtime/thread_pool.hpp"

namespace sqf {
namespace {

struct CpuBackend final : Backend, FirstLayers {
  const ModelFile& file;
  ModelDescription d;
  EngineOptions options;
  Weights weights;
  KvCache cache;
  ThreadPool pool;
  std::vector<float> frequencies;
  int64_t layers = 0;  // that are computed here, the first ones
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
  Result<std::span<const float>> run(std::span<const int32_t> tokens, int64_t first) override;

  void reserve(int64_t tokens);
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
  Result<void> run_layers(std::span<const int32_t> tokens);
  void score(int64_t tokens, int64_t scored, float* to);
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

/// At most kBatch tokens, from their embedding to the end of the last layer.
Result<void> CpuBackend::run_layers(std::span<const int32_t> tokens) {
  const auto count = static_cast<int64_t>(tokens.size());
  if (auto r = embed(tokens); !r) return r;
  prepare_rope(count);
  for (int64_t l = 0; l < layers; l++) {
    LayerWeights& layer = weights.layers[static_cast<size_t>(l)];
    attention(layer, l, count);
    feed_forward(layer, count);
  }
  position += count;
  return {};
}

/// Logits of the last `scored` of the tokens in hand.
void CpuBackend::score(int64_t tokens, int64_t scored, float* to) {
  norm(weights.final_norm, tokens);
  prepare({&weights.head}, normed.data() + (tokens - scored) * d.hidden_size, scored);
  pool.run([&](int share, int shares) { multiplier.multiply(weights.head, to, share, shares); });
}

/// Memory for so many tokens, at most kBatch at once.
void CpuBackend::reserve(int64_t tokens) {
  const auto size = [&](int64_t columns) {
    return static_cast<size_t>(std::min(tokens, kBatch) * columns);
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
}

Result<void> CpuBackend::forward(std::span<const int32_t> tokens, int64_t first, LogitsOf which) {
  const auto count = static_cast<int64_t>(tokens.size());
  const bool all = which == LogitsOf::all_tokens;
  position = first;
  reserve(count);
  logits.resize(static_cast<size_t>((all ? count : 1) * d.vocab_size));
  for (int64_t done = 0; done < count; done += kBatch) {
    const int64_t now = std::min(kBatch, count - done);
    if (auto r = run_layers(tokens.subspan(static_cast<size_t>(done), static_cast<size_t>(now)));
        !r)
      return r;
    if (all)
      score(now, now, logits.data() + done * d.vocab_size);
    else if (done + now == count)
      score(now, 1, logits.data());
  }
  return {};
}

Result<std::span<const float>> CpuBackend::run(std::span<const int32_t> tokens, int64_t first) {
  position = first;
  reserve(static_cast<int64_t>(tokens.size()));
  if (auto r = run_layers(tokens); !r) return r.error();
  return std::span<const float>(x).first(tokens.size() * static_cast<size_t>(d.hidden_size));
}

/// With the first `layers` of the model, or all.
Result<std::unique_ptr<CpuBackend>> make_backend(const ModelFile& file,
                                                 const EngineOptions& options,
                                                 std::optional<int64_t> layers) {
  auto description = description_from_json(file.head().meta["model"]);
  if (!description) return description.error();
  auto weights = load_weights(file, *description);
  if (!weights) return weights.error();
  auto backend = std::make_unique<CpuBackend>(file, std::move(*description), options);
  CpuBackend& b = *backend;
  b.weights = std::move(*weights);
  b.layers = std::min(layers.value_or(b.d.layers), b.d.layers);
  b.options.context = std::min(std::max<int64_t>(options.context, 1), b.d.context_length);
  auto cache = KvCache::create(b.layers, b.d.kv_heads, b.d.head_dim, b.options.context);
  if (!cache) return cache.error();
  b.cache = std::move(*cache);
  b.frequencies = rope_frequencies(b.d);
  return backend;
}

}  // namespace

Result<std::unique_ptr<Backend>> make_cpu_backend(const ModelFile& file,
                                                  const EngineOptions& options) {
  auto backend = make_backend(file, options, std::nullopt);
  if (!backend) return backend.error();
  return std::unique_ptr<Backend>(std::move(*backend));
}

Result<std::unique_ptr<FirstLayers>> make_first_layers(const ModelFile& file,
                                                       const EngineOptions& options,
                                                       int64_t layers) {
  auto backend = make_backend(file, options, layers);
  if (!backend) return backend.error();
  return std::unique_ptr<FirstLayers>(std::move(*backend));
}

}  // namespace sqf

#include "cuda/cuda_backend.hpp"

#include <algorithm>
#include <cstring>

#include "cuda/attention.hpp"
#include "cuda/graph.hpp"
#include "cuda/product.hpp"
#include "loader/dequantize.hpp"
#include "runtime/cpu_backend.hpp"
#include "runtime/rope.hpp"

namespace sqf {
namespace {

/// Readers of the four activations of a layer, and its vectors.
struct DeviceLayer {
  Readers qkv, o, gate_up, down;
  const float *attention_norm = nullptr, *mlp_norm = nullptr;
  const float *q_norm = nullptr, *k_norm = nullptr;
};

/// Host memory that the graph's copies read and write.
struct Exchange {
  int32_t position;
  int32_t tokens[kBatch];
};

struct CudaBackend final : Backend {
  const ModelFile& file;
  ModelDescription d;
  EngineOptions options;
  Placement placement;
  std::unique_ptr<FirstLayers> first_layers;  // on the CPU, or null
  std::unique_ptr<Device> device;
  DeviceWeights weights;
  std::unique_ptr<Products> products;
  std::vector<DeviceLayer> layers;  // the last ones of the model
  Readers head;
  DevicePart embedding = {};
  Embedding composed;  // of parts: its rows are made on the host
  Feeds feeds;
  const float *final_norm = nullptr, *frequencies = nullptr;
  uint64_t bytes_per_token = 0;
  int64_t batch = 0;

  DeviceMemory keys, values;  // [layers][kv_heads][context][head_dim] f16
  DeviceMemory exchange, x, q, k, v, attended, gate, up, logits;
  PinnedMemory host_exchange, host_rows, host_logits;
  std::vector<float> all_logits;
  bool logits_on_host = false;  // all_logits, and not host_logits
  CUfunction embed = nullptr, rotate = nullptr;
  Attention attend;
  Graph graph;

  CudaBackend(const ModelFile& f, ModelDescription description, const EngineOptions& o)
      : file(f), d(std::move(description)), options(o) {}

  const ModelDescription& description() const override { return d; }
  int64_t context() const override { return options.context; }
  uint64_t weight_bytes() const override { return bytes_per_token; }
  std::span<const float> logits_of(int64_t i) const override {
    const auto vocab = static_cast<size_t>(d.vocab_size);
    if (!logits_on_host) return {host_logits.as<float>(), vocab};
    return std::span(all_logits).subspan(static_cast<size_t>(i) * vocab, vocab);
  }
  Result<void> forward(std::span<const int32_t> tokens, int64_t first, LogitsOf which) override;

  Result<void> load();
  Result<void> load_layer(const LayerWeights& from, DeviceLayer* to);
  Result<void> allocate();
  /// Whether the residual stream starts on the host: embeddings, or what the first layers made.
  bool rows_from_host() const { return composed.composed || first_layers != nullptr; }
  Result<void> place(std::span<const int32_t> tokens, int64_t first);
  Result<void> embed_tokens(std::span<const int32_t> tokens);
  Result<void> run_layer(const DeviceLayer& layer, int64_t index, int64_t tokens);
  Result<void> attention(const DeviceLayer& layer, int64_t index, int64_t tokens);
  Result<void> run_layers(std::span<const int32_t> tokens);
  Result<void> run_head(int64_t first, int64_t tokens);
  Result<void> one_token();
  Result<void> read_logits(int64_t first, int64_t count, float* to);
};

Result<void> CudaBackend::load_layer(const LayerWeights& from, DeviceLayer* to) {
  const std::pair<Readers*, std::vector<const Linear*>> groups[] = {
      {&to->qkv, {&from.q, &from.k, &from.v}},
      {&to->o, {&from.o}},
      {&to->gate_up, {&from.gate, &from.up}},
      {&to->down, {&from.down}}};
  for (const auto& [readers, list] : groups) {
    auto made = products->prepare(list);
    if (!made) return made.error();
    *readers = std::move(*made);
  }
  const std::pair<const float**, const std::vector<float>*> vectors[] = {
      {&to->attention_norm, &from.attention_norm},
      {&to->mlp_norm, &from.mlp_norm},
      {&to->q_norm, &from.q_norm},
      {&to->k_norm, &from.k_norm}};
  for (const auto& [pointer, numbers] : vectors) {
    if (numbers->empty()) continue;
    auto kept = weights.keep(*numbers);
    if (!kept) return kept.error();
    *pointer = *kept;
  }
  return {};
}

Result<void> CudaBackend::load() {
  auto loaded = load_weights(file, d);
  if (!loaded) return loaded.error();
  auto uploaded = DeviceWeights::upload(*device, file, placement.data);
  if (!uploaded) return uploaded.error();
  weights = std::move(*uploaded);
  bytes_per_token = loaded->bytes_per_token;
  products = std::make_unique<Products>(*device, &weights, batch, options.exact);
  layers.resize(static_cast<size_t>(placement.layers));
  const size_t before = loaded->layers.size() - layers.size();
  for (size_t l = 0; l < layers.size(); l++)
    if (auto r = load_layer(loaded->layers[before + l], &layers[l]); !r) return r;
  if (before > 0) {
    auto first = make_first_layers(file, options, static_cast<int64_t>(before));
    if (!first) return first.error();
    first_layers = std::move(*first);
  }
  const Linear* const head_layer = &loaded->head;
  auto made = products->prepare(std::span(&head_layer, 1));
  if (!made) return made.error();
  head = std::move(*made);
  composed = loaded->embedding;
  if (!rows_from_host()) {
    auto part = weights.part(composed.rows);
    if (!part) return part.error();
    embedding = *part;
  }
  for (const auto& [pointer, numbers] :
       {std::pair{&final_norm, loaded->final_norm}, std::pair{&frequencies, rope_frequencies(d)}}) {
    auto kept = weights.keep(numbers);
    if (!kept) return kept.error();
    *pointer = *kept;
  }
  feeds = std::move(loaded->feeds);  // readers know their forms by them
  return allocate();
}

Result<void> CudaBackend::allocate() {
  const auto cache =
      static_cast<size_t>(placement.layers * d.kv_heads * options.context * d.head_dim) * 2;
  const auto rows = [&](int64_t columns) { return static_cast<size_t>(batch * columns) * 4; };
  const struct {
    DeviceMemory* memory;
    size_t bytes;
    const char* what;
  } list[] = {
      {&keys, cache, "the cache of keys"},
      {&values, cache, "the cache of values"},
      {&exchange, sizeof(Exchange), "tokens"},
      {&x, rows(d.hidden_size), "activations"},
      {&q, rows(d.heads * d.head_dim), "activations"},
      {&k, rows(d.kv_heads * d.head_dim), "activations"},
      {&v, rows(d.kv_heads * d.head_dim), "activations"},
      {&attended, rows(d.heads * d.head_dim), "activations"},
      {&gate, rows(d.intermediate_size), "activations"},
      {&up, rows(d.intermediate_size), "activations"},
      {&logits, static_cast<size_t>(std::min(batch, kLogitsBatch) * d.vocab_size) * 4, "logits"}};
  for (const auto& item : list) {
    auto memory = device->allocate(item.bytes, item.what);
    if (!memory) return memory.error();
    *item.memory = std::move(*memory);
  }
  for (const auto& [memory, bytes] :
       {std::pair{&host_exchange, sizeof(Exchange)}, std::pair{&host_rows, rows(d.hidden_size)},
        std::pair{&host_logits, logits.size()}}) {
    auto pinned = device->allocate_pinned(bytes);
    if (!pinned) return pinned.error();
    *memory = std::move(*pinned);
  }
  for (const auto& [function, name] : {std::pair{&embed, "embed"}, std::pair{&rotate, "rotate"}}) {
    auto kernel = device->kernel(name);
    if (!kernel) return kernel.error();
    *function = *kernel;
  }
  auto made = Attention::make(*device, d.heads, d.kv_heads, d.head_dim, options.context, batch);
  if (!made) return made.error();
  attend = std::move(*made);
  return products->allocate();
}

/// Tokens and their place, and what the host makes of them, to where the next copy takes them from.
Result<void> CudaBackend::place(std::span<const int32_t> tokens, int64_t first) {
  auto* to = host_exchange.as<Exchange>();
  to->position = static_cast<int32_t>(first);
  std::copy(tokens.begin(), tokens.end(), to->tokens);
  if (first_layers != nullptr) {
    auto made = first_layers->run(tokens, first);
    if (!made) return made.error();
    std::copy(made->begin(), made->end(), host_rows.as<float>());
    return {};
  }
  for (size_t t = 0; composed.composed && t < tokens.size(); t++) {
    const auto row = static_cast<uint64_t>(tokens[t]);
    float* out = host_rows.as<float>() + t * static_cast<size_t>(d.hidden_size);
    if (auto r = effective(file, composed.tensor, {0, row, 1}, out); !r) return r;
  }
  return {};
}

Result<void> CudaBackend::embed_tokens(std::span<const int32_t> tokens) {
  const size_t bytes = offsetof(Exchange, tokens) + tokens.size() * sizeof(int32_t);
  if (auto r = device->copy_to_device(exchange.as(), host_exchange.as(), bytes); !r) return r;
  if (rows_from_host())
    return device->copy_to_device(x.as(), host_rows.as(),
                                  tokens.size() * static_cast<size_t>(d.hidden_size) * 4);
  const EmbedArguments a = {embedding, exchange.as<Exchange>()->tokens, x.as<float>()};
  return device->launch(embed, {static_cast<unsigned>(tokens.size()), 1, 256, 0}, &a);
}

Result<void> CudaBackend::attention(const DeviceLayer& layer, int64_t index, int64_t tokens) {
  const DeviceActivation input = {FormSource::norm, x.as<float>(), layer.attention_norm,
                                  d.norm_epsilon};
  float* const outputs[] = {q.as<float>(), k.as<float>(), v.as<float>()};
  if (auto r = products->run(layer.qkv, input, tokens, outputs, false); !r) return r;
  const int64_t of_layer = index * d.kv_heads * options.context * d.head_dim;
  RotateArguments turn = {};
  turn.q = q.as<float>();
  turn.k = k.as<float>();
  turn.v = v.as<float>();
  turn.q_norm = layer.q_norm;
  turn.k_norm = layer.k_norm;
  turn.epsilon = d.norm_epsilon;
  turn.frequencies = frequencies;
  turn.position = &exchange.as<Exchange>()->position;
  turn.keys = keys.as<uint16_t>() + of_layer;
  turn.values = values.as<uint16_t>() + of_layer;
  turn.heads = static_cast<int32_t>(d.heads);
  turn.kv_heads = static_cast<int32_t>(d.kv_heads);
  turn.dim = static_cast<int32_t>(d.head_dim);
  turn.context = static_cast<int32_t>(options.context);
  const auto columns = static_cast<unsigned>(tokens), heads = static_cast<unsigned>(d.heads);
  const LaunchShape shape = {columns, heads + 2 * static_cast<unsigned>(d.kv_heads), 32, 0};
  if (auto r = device->launch(rotate, shape, &turn); !r) return r;
  AttentionArguments look = {};
  look.q = turn.q;
  look.keys = turn.keys;
  look.values = turn.values;
  look.position = turn.position;
  look.out = attended.as<float>();
  return attend.run(look, tokens);
}

Result<void> CudaBackend::run_layer(const DeviceLayer& layer, int64_t index, int64_t tokens) {
  if (auto r = attention(layer, index, tokens); !r) return r;
  float* const stream = x.as<float>();
  const DeviceActivation heads = {FormSource::plain, attended.as<float>(), nullptr, 0};
  if (auto r = products->run(layer.o, heads, tokens, std::span(&stream, 1), true); !r) return r;
  const DeviceActivation normed = {FormSource::norm, stream, layer.mlp_norm, d.norm_epsilon};
  float* const wide[] = {gate.as<float>(), up.as<float>()};
  if (auto r = products->run(layer.gate_up, normed, tokens, wide, false); !r) return r;
  const DeviceActivation gated = {FormSource::gated, gate.as<float>(), up.as<float>(), 0};
  return products->run(layer.down, gated, tokens, std::span(&stream, 1), true);
}

Result<void> CudaBackend::run_layers(std::span<const int32_t> tokens) {
  if (auto r = embed_tokens(tokens); !r) return r;
  for (size_t l = 0; l < layers.size(); l++)
    if (auto r = run_layer(layers[l], static_cast<int64_t>(l), static_cast<int64_t>(tokens.size()));
        !r)
      return r;
  return {};
}

/// Logits of tokens of the batch, at most kLogitsBatch, on their way to the host.
Result<void> CudaBackend::run_head(int64_t first, int64_t tokens) {
  const DeviceActivation input = {FormSource::norm, x.as<float>() + first * d.hidden_size,
                                  final_norm, d.norm_epsilon};
  float* const to = logits.as<float>();
  if (auto r = products->run(head, input, tokens, std::span(&to, 1), false); !r) return r;
  return device->copy_to_host(host_logits.as(), to, static_cast<size_t>(tokens * d.vocab_size) * 4);
}

/// The work of one token, recorded the first time.
Result<void> CudaBackend::one_token() {
  if (!graph) {
    auto recorded = Graph::record(*device, [&]() -> Result<void> {
      const int32_t any = 0;
      if (auto r = run_layers(std::span(&any, 1)); !r) return r;
      return run_head(0, 1);
    });
    if (!recorded) return recorded.error();
    graph = std::move(*recorded);
  }
  if (auto r = graph.launch(); !r) return r;
  return device->wait();
}

Result<void> CudaBackend::read_logits(int64_t first, int64_t count, float* to) {
  for (int64_t done = 0; done < count; done += kLogitsBatch) {
    const int64_t now = std::min(kLogitsBatch, count - done);
    if (auto r = run_head(first + done, now); !r) return r;
    if (auto r = device->wait(); !r) return r;
    std::memcpy(to + done * d.vocab_size, host_logits.as(),
                static_cast<size_t>(now * d.vocab_size) * 4);
  }
  return {};
}

Result<void> CudaBackend::forward(std::span<const int32_t> tokens, int64_t first, LogitsOf which) {
  if (auto r = device->use_here(); !r) return r;
  const auto count = static_cast<int64_t>(tokens.size());
  const bool all = which == LogitsOf::all_tokens;
  logits_on_host = all;
  if (all) all_logits.resize(static_cast<size_t>(count * d.vocab_size));
  for (int64_t done = 0; done < count; done += batch) {
    const auto part = tokens.subspan(static_cast<size_t>(done),
                                     static_cast<size_t>(std::min(batch, count - done)));
    const auto size = static_cast<int64_t>(part.size());
    if (auto r = place(part, first + done); !r) return r;
    if (count == 1 && !all) return one_token();
    if (auto r = run_layers(part); !r) return r;
    if (all) {
      if (auto r = read_logits(0, size, all_logits.data() + done * d.vocab_size); !r) return r;
    } else if (done + batch >= count) {
      if (auto r = run_head(size - 1, 1); !r) return r;
    }
    if (auto r = device->wait(); !r) return r;
  }
  return {};
}

}  // namespace

Result<Engine> make_cuda_engine(const ModelFile& file, const EngineOptions& options,
                                const std::function<void(const Placement&)>& loading) {
  auto d = description_from_json(file.head().meta["model"]);
  if (!d) return d.error();
  if (d->head_dim % kHeadDimStep != 0 || d->head_dim > kMaxHeadDim)
    return unsupported("heads of " + std::to_string(d->head_dim) +
                       " numbers: the GPU's attention takes multiples of 8 up to 256");
  auto device = Device::open();
  if (!device) return device.error();
  auto free = (*device)->free_memory();
  if (!free) return free.error();
  const Placement placement = place_model(file, *d, options);
  if (placement.total() > *free) {
    const int64_t fits = layers_that_fit(file, *d, options, *free);
    return io_error((*device)->name() + " has " + std::to_string(*free) +
                    " bytes free; the model needs " + std::to_string(placement.total()) +
                    " (weights " + std::to_string(placement.weights) + ", cache " +
                    std::to_string(placement.cache) +
                    "): " + std::to_string(placement.total() - *free) + " are missing. " +
                    (fits > 0 ? "--gpu-layers " + std::to_string(fits) +
                                    " fits and leaves the other layers to the CPU; a"
                              : "A") +
                    " shorter context (-c) takes less");
  }
  if (loading) loading(placement);
  auto backend = std::make_unique<CudaBackend>(file, std::move(*d), options);
  backend->options.context =
      std::min(std::max<int64_t>(options.context, 1), backend->d.context_length);
  backend->placement = placement;
  backend->batch = batch_of(backend->d, options);
  backend->device = std::move(*device);
  if (auto r = backend->load(); !r) return r.error();
  return Engine(std::move(backend));
}

}  // namespace sqf

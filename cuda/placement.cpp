#include "cuda/placement.hpp"

#include <algorithm>

namespace sqf {
namespace {

/// Floats of one token that stand between kernels, without the forms.
int64_t activation_floats(const ModelDescription& d) {
  return d.hidden_size + (2 * d.heads + 2 * d.kv_heads) * d.head_dim + 2 * d.intermediate_size;
}

int64_t context_of(const ModelDescription& d, const EngineOptions& options) {
  return std::min(std::max<int64_t>(options.context, 1), d.context_length);
}

/// Which components the GPU has no use for when the first `layers` run elsewhere.
std::vector<bool> unused(const ModelFile& file, const ModelDescription& d, int64_t layers) {
  const Directory& directory = file.head().directory;
  std::vector<bool> skipped(directory.components.size());
  if (layers == 0) return skipped;
  for (const TensorSpec& spec : tensor_specs(d)) {
    const bool before = spec.role == Role::embedding || (spec.layer >= 0 && spec.layer < layers);
    const auto tensor = before ? file.find(spec.name) : std::nullopt;
    if (!tensor) continue;
    each_stored(directory, *tensor->record,
                [&](uint32_t, uint32_t index, const char*) { skipped[index] = true; });
  }
  return skipped;
}

}  // namespace

int64_t batch_of(const ModelDescription& d, const EngineOptions& options) {
  return std::min(kBatch, context_of(d, options));
}

Placement place_model(const ModelFile& file, const ModelDescription& d,
                      const EngineOptions& options) {
  Placement placement;
  placement.layers = options.gpu_layers < 0 ? d.layers : std::min(options.gpu_layers, d.layers);
  const std::vector<bool> skipped = unused(file, d, d.layers - placement.layers);
  const auto& components = file.head().directory.components;
  for (size_t i = 0; i < components.size(); i++) {
    if (skipped[i]) continue;
    if (i == 0 || skipped[i - 1]) placement.data.push_back({components[i].offset, 0});
    placement.data.back().end = components[i].offset + components[i].size;
  }
  for (const DataRange& range : placement.data) placement.weights += range.end - range.begin;
  placement.cache = static_cast<uint64_t>(4 * placement.layers * d.kv_heads *
                                          context_of(d, options) * d.head_dim);
  const int64_t batch = batch_of(d, options);
  // An estimate: the forms of activations take about what these take in f32.
  placement.activations = static_cast<uint64_t>(8 * batch * activation_floats(d) +
                                                4 * std::min(batch, kLogitsBatch) * d.vocab_size);
  return placement;
}

int64_t layers_that_fit(const ModelFile& file, const ModelDescription& d,
                        const EngineOptions& options, uint64_t bytes) {
  int64_t fits = 0, over = d.layers + 1;  // what is needed grows with the layers
  while (over - fits > 1) {
    EngineOptions some = options;
    some.gpu_layers = (fits + over) / 2;
    (place_model(file, d, some).total() <= bytes ? fits : over) = some.gpu_layers;
  }
  return fits;
}

}  // namespace sqf

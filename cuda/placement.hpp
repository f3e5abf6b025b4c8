#pragma once
// What of a model stands on the GPU: all of it, or its last layers and the head; what memory that
// takes, and how many layers a given memory holds.

#include <vector>

#include "model/description.hpp"
#include "runtime/engine.hpp"

namespace sqf {

/// Bytes of the file that stand together on the GPU.
struct DataRange {
  uint64_t begin = 0, end = 0;
};

struct Placement {
  int64_t layers = 0;           ///< on the GPU, the last ones
  std::vector<DataRange> data;  ///< ascending, apart: all but what the first layers alone read
  uint64_t weights = 0, cache = 0, activations = 0;  ///< bytes; activations are an estimate
  uint64_t total() const { return weights + cache + activations; }
};

/// Layers, context and batch as `options` has them, within what the model allows.
Placement place_model(const ModelFile& file, const ModelDescription& d,
                      const EngineOptions& options);

/// How many layers, the last ones, `bytes` of memory hold with the head; 0: not even one.
int64_t layers_that_fit(const ModelFile& file, const ModelDescription& d,
                        const EngineOptions& options, uint64_t bytes);

/// Tokens that go through a layer together on the GPU, and those whose logits are made together.
int64_t batch_of(const ModelDescription& d, const EngineOptions& options);
inline constexpr int64_t kLogitsBatch = 64;

}  // namespace sqf

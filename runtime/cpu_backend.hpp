#pragma once
// The forward pass on the CPU: reads weights straight from the mapping, keys and values in f32.

#include <memory>

#include "runtime/engine.hpp"

namespace sqf {

/// The file must outlive it. Errors: malformed R701 and R702, unsupported, io (memory).
Result<std::unique_ptr<Backend>> make_cpu_backend(const ModelFile& file,
                                                  const EngineOptions& options);

/// The embedding and the first layers of a model, with their cache: what a GPU without room for
/// them goes on from.
class FirstLayers {
 public:
  virtual ~FirstLayers() = default;
  /// At most kBatch tokens at the positions from `first` on. [tokens][hidden], valid until the next
  /// call. Errors: malformed (an embedding that is made of parts).
  virtual Result<std::span<const float>> run(std::span<const int32_t> tokens, int64_t first) = 0;
};

/// As make_cpu_backend(), of the first `layers` alone.
Result<std::unique_ptr<FirstLayers>> make_first_layers(const ModelFile& file,
                                                       const EngineOptions& options,
                                                       int64_t layers);

}  // namespace sqf

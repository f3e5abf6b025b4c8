#pragma once
// The forward pass on a GPU: weights as in the file, keys and values in f16, tensor cores for every
// product that they can take. One token after another is one graph, launched at once.

#include "runtime/engine.hpp"

namespace sqf {

/// What a model takes on the GPU, in bytes.
struct DeviceMemoryPlan {
  uint64_t weights = 0, cache = 0, activations = 0;
  uint64_t total() const { return weights + cache + activations; }
};

/// What loading would take, without a GPU. Errors: malformed R701 and R702.
Result<DeviceMemoryPlan> plan_device_memory(const ModelFile& file, const EngineOptions& options);

/// An engine on the first GPU. Errors: unsupported (no driver, no GPU, one that is too old, a model
/// that the kernels have no form for), io (memory, with what is missing), malformed R701 and R702.
Result<Engine> make_cuda_engine(const ModelFile& file, const EngineOptions& options);

/// The GPU that make_cuda_engine would take, in words. Errors: as there.
Result<std::string> cuda_device_name();

}  // namespace sqf

#pragma once
// The forward pass on a GPU: weights as in the file, keys and values in f16, tensor cores for every
// product that they can take. One token after another is one graph, launched at once.

#include <functional>

#include "runtime/engine.hpp"

namespace sqf {

/// What a model takes on the GPU, in bytes; activations are an estimate.
struct DeviceMemoryPlan {
  uint64_t weights = 0, cache = 0, activations = 0;
  uint64_t total() const { return weights + cache + activations; }
};

/// What loading would take, without a GPU. Errors: malformed R701 and R702.
Result<DeviceMemoryPlan> plan_device_memory(const ModelFile& file, const EngineOptions& options);

/// An engine on the first GPU. Errors: unsupported (no driver, no GPU, one that is too old, a model
/// that the kernels have no form for), io (memory, with what is missing), malformed R701 and R702.
/// `loading` is called once it is sure that there is room, before anything is copied.
Result<Engine> make_cuda_engine(const ModelFile& file, const EngineOptions& options,
                                const std::function<void()>& loading = {});

}  // namespace sqf

#pragma once
// The forward pass on a GPU: weights as in the file, keys and values in f16, tensor cores for every
// product that they can take. One token after another is one graph, launched at once.

#include <functional>

#include "cuda/placement.hpp"

namespace sqf {

/// An engine on the first GPU. Errors: unsupported (no driver, no GPU, one that is too old, a model
/// that the kernels have no form for), io (memory, with what is missing), malformed R701 and R702.
/// `loading` is called once it is sure that there is room, before anything is copied.
Result<Engine> make_cuda_engine(const ModelFile& file, const EngineOptions& options,
                                const std::function<void(const Placement&)>& loading = {});

}  // namespace sqf

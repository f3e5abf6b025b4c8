#pragma once
// The forward pass on the CPU: reads weights straight from the mapping, keys and values in f32.

#include <memory>

#include "runtime/engine.hpp"

namespace sqf {

/// The file must outlive it. Errors: malformed R701 and R702, unsupported, io (memory).
Result<std::unique_ptr<Backend>> make_cpu_backend(const ModelFile& file,
                                                  const EngineOptions& options);

}  // namespace sqf

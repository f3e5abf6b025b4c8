#pragma once
// Work on a device's stream that was recorded once and starts again with one call.

#include <functional>

#include "cuda/device.hpp"

namespace sqf {

/// Move-only; the device must outlive it.
class Graph {
 public:
  Graph() = default;
  Graph(Graph&& other) noexcept;
  Graph& operator=(Graph&& other) noexcept;
  ~Graph();

  /// Records what `work` puts on the stream; nothing of it runs. Errors: io, and those of `work`.
  static Result<Graph> record(const Device& device, const std::function<Result<void>()>& work);

  explicit operator bool() const { return executable_ != nullptr; }
  /// Errors: io.
  Result<void> launch() const;

 private:
  const Device* device_ = nullptr;
  CUgraphExec executable_ = nullptr;
};

}  // namespace sqf

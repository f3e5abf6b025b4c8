#include "cuda/graph.hpp"

#include <utility>

namespace sqf {
namespace {

constexpr char kRecording[] = "recording work";

}  // namespace

Graph::Graph(Graph&& other) noexcept
    : device_(other.device_), executable_(std::exchange(other.executable_, nullptr)) {}

Graph& Graph::operator=(Graph&& other) noexcept {
  std::swap(device_, other.device_);
  std::swap(executable_, other.executable_);
  return *this;
}

Graph::~Graph() {
  if (executable_ != nullptr) device_->driver().graph_exec_destroy(executable_);
}

Result<Graph> Graph::record(const Device& device, const std::function<Result<void>()>& work) {
  const Driver& driver = device.driver();
  Graph graph;
  graph.device_ = &device;
  if (const CUresult r = driver.capture_begin(device.stream(), CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
      r != CUDA_SUCCESS)
    return cuda_error(driver, r, kRecording);
  const auto done = work();
  CUgraph recorded = nullptr;
  const CUresult ended = driver.capture_end(device.stream(), &recorded);
  if (!done) {
    if (recorded != nullptr) driver.graph_destroy(recorded);
    return done.error();
  }
  if (ended != CUDA_SUCCESS) return cuda_error(driver, ended, kRecording);
  const CUresult made = driver.graph_instantiate(&graph.executable_, recorded, 0);
  driver.graph_destroy(recorded);
  if (made != CUDA_SUCCESS) return cuda_error(driver, made, kRecording);
  return graph;
}

Result<void> Graph::launch() const {
  const Driver& driver = device_->driver();
  if (const CUresult r = driver.graph_launch(executable_, device_->stream()); r != CUDA_SUCCESS)
    return cuda_error(driver, r, "starting recorded work");
  return {};
}

}  // namespace sqf

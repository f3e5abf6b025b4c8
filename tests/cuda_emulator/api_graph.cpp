#include "tests/cuda_emulator/driver.hpp"

// Graphs by stream capture: what a stream would have done, kept and done again by every
// cuGraphLaunch, in its order.

namespace sqf {
namespace {

CUresult instantiate(CUgraphExec* out, CUgraph handle) {
  const Call call;
  const CUresult state = call.healthy();
  if (state != CUDA_SUCCESS) return state;
  auto* const graph = reinterpret_cast<EmulatedGraph*>(handle);
  if (!driver().graphs.contains(graph)) return CUDA_ERROR_INVALID_VALUE;
  if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
  auto* const made = new EmulatedGraph(*graph);
  driver().executables.insert(made);
  *out = reinterpret_cast<CUgraphExec>(made);
  return CUDA_SUCCESS;
}

}  // namespace
}  // namespace sqf

using sqf::Call;
using sqf::driver;

extern "C" {

CUresult cuStreamBeginCapture(CUstream handle, CUstreamCaptureMode mode) {
  const Call call;
  const CUresult state = call.healthy();
  if (state != CUDA_SUCCESS) return state;
  auto* const stream = reinterpret_cast<sqf::EmulatedStream*>(handle);
  if (!driver().streams.contains(stream)) {  // the legacy stream cannot capture
    return sqf::stream_of(handle) != nullptr ? CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED
                                             : CUDA_ERROR_INVALID_HANDLE;
  }
  if (stream->capture != nullptr) return CUDA_ERROR_ILLEGAL_STATE;
  stream->capture = std::make_shared<sqf::EmulatedGraph>();
  stream->origin = true;
  stream->broken = false;
  stream->mode = mode;
  return CUDA_SUCCESS;
}

CUresult cuStreamEndCapture(CUstream handle, CUgraph* out) {
  const Call call;
  const CUresult state = call.healthy();
  if (state != CUDA_SUCCESS) return state;
  sqf::EmulatedStream* const stream = sqf::stream_of(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (out == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *out = nullptr;
  if (stream->capture == nullptr) return CUDA_ERROR_ILLEGAL_STATE;
  if (!stream->origin) return CUDA_ERROR_STREAM_CAPTURE_UNMATCHED;
  const std::shared_ptr<sqf::EmulatedGraph> captured = stream->capture;
  bool broken = false;
  for (sqf::EmulatedStream* member : driver().streams) {
    if (member->capture != captured) continue;
    broken = broken || member->broken;
    member->capture = nullptr;
    member->broken = member->origin = false;
  }
  for (sqf::EmulatedEvent* event : driver().events) {
    if (event->capture == captured) event->capture = nullptr;
  }
  if (broken) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  auto* const graph = new sqf::EmulatedGraph(*captured);
  driver().graphs.insert(graph);
  *out = reinterpret_cast<CUgraph>(graph);
  return CUDA_SUCCESS;
}

CUresult cuStreamIsCapturing(CUstream handle, CUstreamCaptureStatus* status) {
  const Call call;
  const CUresult state = call.healthy();
  if (state != CUDA_SUCCESS) return state;
  const sqf::EmulatedStream* const stream = sqf::stream_of(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (status == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *status = stream->capture == nullptr ? CU_STREAM_CAPTURE_STATUS_NONE
            : stream->broken           ? CU_STREAM_CAPTURE_STATUS_INVALIDATED
                                       : CU_STREAM_CAPTURE_STATUS_ACTIVE;
  return CUDA_SUCCESS;
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec* out, CUgraph graph, unsigned long long) {
  return sqf::instantiate(out, graph);
}

/// The signature of CUDA 11: the last two tell of mistakes, of which there are none.
__attribute__((visibility("default"))) CUresult cuGraphInstantiate_v2(CUgraphExec* out,
                                                                      CUgraph graph,
                                                                      CUgraphNode* node, char* log,
                                                                      size_t bytes) {
  if (node != nullptr) *node = nullptr;
  if (log != nullptr && bytes > 0) log[0] = '\0';
  return sqf::instantiate(out, graph);
}

CUresult cuGraphGetNodes(CUgraph handle, CUgraphNode* nodes, size_t* count) {
  const Call call;
  const CUresult state = call.healthy();
  if (state != CUDA_SUCCESS) return state;
  auto* const graph = reinterpret_cast<sqf::EmulatedGraph*>(handle);
  if (!driver().graphs.contains(graph) || count == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (nodes != nullptr) return CUDA_ERROR_NOT_SUPPORTED;  // only their number is known
  *count = graph->nodes.size();
  return CUDA_SUCCESS;
}

CUresult cuGraphLaunch(CUgraphExec handle, CUstream stream) {
  const Call call;
  const CUresult state = call.healthy();
  if (state != CUDA_SUCCESS) return state;
  auto* const graph = reinterpret_cast<sqf::EmulatedGraph*>(handle);
  if (!driver().executables.contains(graph)) return CUDA_ERROR_INVALID_VALUE;
  return sqf::submit(stream, [nodes = graph->nodes] {
    for (const sqf::Work& node : nodes) {
      const CUresult result = node();
      if (result != CUDA_SUCCESS) return result;
    }
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphExecDestroy(CUgraphExec handle) {
  const Call call;
  const CUresult state = call.with_context();
  if (state != CUDA_SUCCESS) return state;
  auto* const graph = reinterpret_cast<sqf::EmulatedGraph*>(handle);
  if (driver().executables.erase(graph) == 0) return CUDA_ERROR_INVALID_VALUE;
  delete graph;
  return CUDA_SUCCESS;
}

CUresult cuGraphDestroy(CUgraph handle) {
  const Call call;
  const CUresult state = call.with_context();
  if (state != CUDA_SUCCESS) return state;
  auto* const graph = reinterpret_cast<sqf::EmulatedGraph*>(handle);
  if (driver().graphs.erase(graph) == 0) return CUDA_ERROR_INVALID_VALUE;
  delete graph;
  return CUDA_SUCCESS;
}

}  // extern "C"

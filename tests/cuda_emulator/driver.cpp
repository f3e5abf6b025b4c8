#include "tests/cuda_emulator/driver.hpp"

#include <algorithm>
#include <cstdio>

namespace sqf {
namespace {

template <class T>
void delete_all(std::set<T*>& objects) {
  for (T* object : objects) delete object;
  objects.clear();
}

char context_places[8];

EmulatedStream& default_stream() {
  static EmulatedStream stream;
  return stream;
}

}  // namespace

Driver& driver() {
  static Driver* const one = new Driver;  // never destroyed: threads may outlive main
  return *one;
}

std::vector<int>& context_stack() {
  thread_local std::vector<int> stack;
  return stack;
}

CUcontext context_of(int device) {
  return reinterpret_cast<CUcontext>(&context_places[device]);
}

int device_of(CUcontext context) {
  for (int i = 0; i < 8; i++) {
    if (context_of(i) == context) return i;
  }
  return -1;
}

void Driver::destroy_context() {
  delete_all(modules);
  functions.clear();
  delete_all(streams);
  delete_all(events);
  delete_all(graphs);
  delete_all(executables);
  memory.release_all();
  sticky = CUDA_SUCCESS;
}

CUresult Call::ready() const {
  return driver().initialized ? CUDA_SUCCESS : CUDA_ERROR_NOT_INITIALIZED;
}

CUresult Call::with_context() const {
  if (!driver().initialized) return CUDA_ERROR_NOT_INITIALIZED;
  const std::vector<int>& stack = context_stack();
  if (stack.empty()) return CUDA_ERROR_INVALID_CONTEXT;
  return driver().counts[stack.back()] == 0 ? CUDA_ERROR_CONTEXT_IS_DESTROYED : CUDA_SUCCESS;
}

CUresult Call::healthy() const {
  const CUresult result = with_context();
  return result != CUDA_SUCCESS ? result : driver().sticky;
}

CUresult Call::synchronous() const {
  const CUresult result = healthy();
  if (result != CUDA_SUCCESS) return result;
  for (EmulatedStream* stream : driver().streams) {
    if (stream->capture == nullptr || stream->mode == CU_STREAM_CAPTURE_MODE_RELAXED) continue;
    stream->broken = true;
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  }
  return CUDA_SUCCESS;
}

bool any_capture() {
  return std::any_of(driver().streams.begin(), driver().streams.end(),
                     [](const EmulatedStream* stream) { return stream->capture != nullptr; });
}

EmulatedStream* stream_of(CUstream stream) {
  if (stream == nullptr || stream == CU_STREAM_LEGACY || stream == CU_STREAM_PER_THREAD) {
    return &default_stream();
  }
  auto* const own = reinterpret_cast<EmulatedStream*>(stream);
  return driver().streams.contains(own) ? own : nullptr;
}

CUresult submit(CUstream handle, Work work) {
  EmulatedStream* const stream = stream_of(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (stream->broken) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  if (stream->capture != nullptr) {
    stream->capture->nodes.push_back(std::move(work));
    return CUDA_SUCCESS;
  }
  if (stream == &default_stream() && any_capture()) return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
  return work();
}

void say(const std::string& message) {
  std::fprintf(stderr, "cuda_emulator: %s\n", message.c_str());
}

}  // namespace sqf

#include "tests/cuda_emulator/driver.hpp"

// Streams and events. A stream is a place for work in order; since all work is done at once,
// waiting is immediate.

namespace sqf {
namespace {

EmulatedEvent* event_of(CUevent handle) {
  auto* const event = reinterpret_cast<EmulatedEvent*>(handle);
  return driver().events.contains(event) ? event : nullptr;
}

CUresult create_stream(CUstream* out, unsigned int flags) {
  const Call call;
  const CUresult state = call.healthy();
  if (state != CUDA_SUCCESS) return state;
  if (out == nullptr || flags > CU_STREAM_NON_BLOCKING) return CUDA_ERROR_INVALID_VALUE;
  auto* const stream = new EmulatedStream;
  stream->flags = flags;
  driver().streams.insert(stream);
  *out = reinterpret_cast<CUstream>(stream);
  return CUDA_SUCCESS;
}

/// Waiting for a stream that captures breaks the capture.
CUresult wait_for(CUstream handle) {
  const Call call;
  const CUresult state = call.healthy();
  if (state != CUDA_SUCCESS) return state;
  EmulatedStream* const stream = stream_of(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (stream->capture == nullptr) return CUDA_SUCCESS;
  stream->broken = true;
  return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
}

CUresult wait_for_event(CUevent handle) {
  const Call call;
  const CUresult state = call.healthy();
  if (state != CUDA_SUCCESS) return state;
  const EmulatedEvent* const event = event_of(handle);
  if (event == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  return event->capture != nullptr ? CUDA_ERROR_CAPTURED_EVENT : CUDA_SUCCESS;
}

}  // namespace
}  // namespace sqf

using sqf::Call;
using sqf::driver;

extern "C" {

CUresult cuStreamCreate(CUstream* out, unsigned int flags) {
  return sqf::create_stream(out, flags);
}
CUresult cuStreamCreateWithPriority(CUstream* out, unsigned int flags, int) {
  return sqf::create_stream(out, flags);
}

CUresult cuStreamDestroy(CUstream handle) {
  const Call call;
  const CUresult state = call.with_context();
  if (state != CUDA_SUCCESS) return state;
  auto* const stream = reinterpret_cast<sqf::EmulatedStream*>(handle);
  if (driver().streams.erase(stream) == 0) return CUDA_ERROR_INVALID_HANDLE;
  delete stream;
  return CUDA_SUCCESS;
}

CUresult cuStreamSynchronize(CUstream stream) {
  return sqf::wait_for(stream);
}
CUresult cuStreamQuery(CUstream stream) {
  return sqf::wait_for(stream);
}

CUresult cuStreamWaitEvent(CUstream handle, CUevent event_handle, unsigned int) {
  const Call call;
  const CUresult state = call.healthy();
  if (state != CUDA_SUCCESS) return state;
  sqf::EmulatedStream* const stream = sqf::stream_of(handle);
  const sqf::EmulatedEvent* const event = sqf::event_of(event_handle);
  if (stream == nullptr || event == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (event->capture != nullptr && stream->capture == nullptr) {  // the stream joins the capture
    stream->capture = event->capture;
    stream->origin = false;
  } else if (event->capture != stream->capture && stream->capture != nullptr) {
    return CUDA_ERROR_STREAM_CAPTURE_ISOLATION;
  }
  return CUDA_SUCCESS;
}

CUresult cuEventCreate(CUevent* out, unsigned int flags) {
  const Call call;
  const CUresult state = call.healthy();
  if (state != CUDA_SUCCESS) return state;
  if (out == nullptr || flags > 7) return CUDA_ERROR_INVALID_VALUE;
  auto* const event = new sqf::EmulatedEvent;
  event->timed = (flags & CU_EVENT_DISABLE_TIMING) == 0;
  driver().events.insert(event);
  *out = reinterpret_cast<CUevent>(event);
  return CUDA_SUCCESS;
}

CUresult cuEventDestroy(CUevent handle) {
  const Call call;
  const CUresult state = call.with_context();
  if (state != CUDA_SUCCESS) return state;
  sqf::EmulatedEvent* const event = sqf::event_of(handle);
  if (event == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  driver().events.erase(event);
  delete event;
  return CUDA_SUCCESS;
}

CUresult cuEventRecord(CUevent handle, CUstream stream_handle) {
  const Call call;
  const CUresult state = call.healthy();
  if (state != CUDA_SUCCESS) return state;
  sqf::EmulatedEvent* const event = sqf::event_of(handle);
  const sqf::EmulatedStream* const stream = sqf::stream_of(stream_handle);
  if (event == nullptr || stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  event->capture = stream->capture;
  event->recorded = true;
  event->at = std::chrono::steady_clock::now();
  return CUDA_SUCCESS;
}

CUresult cuEventSynchronize(CUevent event) {
  return sqf::wait_for_event(event);
}
CUresult cuEventQuery(CUevent event) {
  return sqf::wait_for_event(event);
}

CUresult cuEventElapsedTime(float* milliseconds, CUevent from, CUevent to) {
  const Call call;
  const CUresult state = call.healthy();
  if (state != CUDA_SUCCESS) return state;
  const sqf::EmulatedEvent* const first = sqf::event_of(from);
  const sqf::EmulatedEvent* const last = sqf::event_of(to);
  if (first == nullptr || last == nullptr || !first->recorded || !last->recorded || !first->timed ||
      !last->timed) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  if (milliseconds == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *milliseconds = std::chrono::duration<float, std::milli>(last->at - first->at).count();
  return CUDA_SUCCESS;
}

}  // extern "C"

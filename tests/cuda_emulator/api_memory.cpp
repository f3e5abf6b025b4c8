#include <cstring>

#include "tests/cuda_emulator/driver.hpp"

// Memory: device, pinned host, copies, fills.

namespace sqf {
namespace {

/// All bytes of the range, or null. An empty range is fine wherever it is.
Allocation* range(CUdeviceptr address, size_t bytes) {
  return driver().memory.holding(address, bytes);
}

/// A copy from `from` to `to`, either of which may be device memory; what was never written stays
/// so.
CUresult copy_now(CUdeviceptr to, CUdeviceptr from, size_t bytes) {
  GlobalMemory& memory = driver().memory;
  Allocation* const target = memory.holding(to, bytes);
  Allocation* const source = memory.holding(from, bytes);
  std::memmove(reinterpret_cast<void*>(to), reinterpret_cast<const void*>(from), bytes);
  if (target == nullptr) return CUDA_SUCCESS;
  if (source == nullptr) {
    memory.define(*target, to, bytes);
  } else {
    std::memmove(target->defined.data + (to - target->address),
                 source->defined.data + (from - source->address), bytes);
  }
  return CUDA_SUCCESS;
}

CUresult copy(CUdeviceptr to, bool to_device, CUdeviceptr from, bool from_device, size_t bytes,
              CUstream stream) {
  if (bytes == 0) return CUDA_SUCCESS;
  if (to == 0 || from == 0) return CUDA_ERROR_INVALID_VALUE;
  if ((to_device && range(to, bytes) == nullptr) ||
      (from_device && range(from, bytes) == nullptr)) {
    say("a copy of " + std::to_string(bytes) + " bytes whose device range is outside: " +
        driver().memory.describe(to_device && range(to, bytes) == nullptr ? to : from));
    return CUDA_ERROR_INVALID_VALUE;
  }
  return submit(stream, [=] {
    if ((to_device && range(to, bytes) == nullptr) ||
        (from_device && range(from, bytes) == nullptr)) {
      return CUDA_ERROR_ILLEGAL_ADDRESS;  // freed since the capture
    }
    return copy_now(to, from, bytes);
  });
}

CUresult copy_and_wait(CUdeviceptr to, bool to_device, CUdeviceptr from, bool from_device,
                       size_t bytes) {
  const Call call;
  const CUresult state = call.synchronous();
  return state != CUDA_SUCCESS ? state : copy(to, to_device, from, from_device, bytes, nullptr);
}

CUresult copy_later(CUdeviceptr to, bool to_device, CUdeviceptr from, bool from_device,
                    size_t bytes, CUstream stream) {
  const Call call;
  const CUresult state = call.healthy();
  return state != CUDA_SUCCESS ? state : copy(to, to_device, from, from_device, bytes, stream);
}

CUresult fill(CUdeviceptr to, uint64_t pattern, size_t width, size_t count, CUstream stream) {
  if (count == 0) return CUDA_SUCCESS;
  if (to % width != 0 || count > SIZE_MAX / width || range(to, count * width) == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  return submit(stream, [=] {
    Allocation* const target = range(to, count * width);
    if (target == nullptr) return CUDA_ERROR_ILLEGAL_ADDRESS;
    for (size_t i = 0; i < count; i++) std::memcpy(target->at(to + i * width), &pattern, width);
    driver().memory.define(*target, to, count * width);
    return CUDA_SUCCESS;
  });
}

CUresult fill_later(CUdeviceptr to, uint64_t pattern, size_t width, size_t count, CUstream stream) {
  const Call call;
  const CUresult state = call.healthy();
  return state != CUDA_SUCCESS ? state : fill(to, pattern, width, count, stream);
}

CUresult allocate_host(void** out, size_t bytes) {
  const Call call;
  const CUresult state = call.synchronous();
  if (state != CUDA_SUCCESS) return state;
  if (out == nullptr || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
  const uint64_t address = driver().memory.allocate(bytes, "pinned host memory", true);
  *out = reinterpret_cast<void*>(address);
  return address == 0 ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_SUCCESS;
}

CUdeviceptr as_device(const void* host) {
  return reinterpret_cast<uintptr_t>(host);
}

}  // namespace
}  // namespace sqf

using sqf::as_device;
using sqf::Call;
using sqf::driver;

extern "C" {

/// Reads of this range are reported under this name. For tests; not a function of the driver.
__attribute__((visibility("default"))) void sqf_emulator_tag(CUdeviceptr address, size_t bytes,
                                                             const char* name) {
  const Call call;
  driver().memory.tag(address, bytes, name);
}

CUresult cuMemGetInfo(size_t* free_bytes, size_t* total) {
  const Call call;
  const CUresult state = call.healthy();
  if (state != CUDA_SUCCESS) return state;
  if (free_bytes == nullptr || total == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *total = driver().settings.memory;
  *free_bytes = *total - driver().memory.used();
  return CUDA_SUCCESS;
}

CUresult cuMemAlloc(CUdeviceptr* out, size_t bytes) {
  const Call call;
  const CUresult state = call.synchronous();
  if (state != CUDA_SUCCESS) return state;
  if (out == nullptr || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
  sqf::Driver& device = driver();
  const bool refused = ++device.allocations == device.settings.fail_alloc;
  if (refused || bytes > device.settings.memory - device.memory.used()) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  *out = device.memory.allocate(bytes, "allocation " + std::to_string(device.allocations), false);
  return *out == 0 ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_SUCCESS;
}

CUresult cuMemFree(CUdeviceptr address) {
  const Call call;
  const CUresult state = call.synchronous();
  if (state != CUDA_SUCCESS) return state;
  if (address == 0) return CUDA_SUCCESS;
  return driver().memory.release(address, false) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuMemHostAlloc(void** out, size_t bytes, unsigned int) {
  return sqf::allocate_host(out, bytes);
}

CUresult cuMemAllocHost(void** out, size_t bytes) {
  return sqf::allocate_host(out, bytes);
}

CUresult cuMemFreeHost(void* address) {
  const Call call;
  const CUresult state = call.with_context();
  if (state != CUDA_SUCCESS) return state;
  if (address == nullptr) return CUDA_SUCCESS;
  return driver().memory.release(as_device(address), true) ? CUDA_SUCCESS
                                                           : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuMemHostGetDevicePointer(CUdeviceptr* out, void* host, unsigned int flags) {
  const Call call;
  const CUresult state = call.healthy();
  if (state != CUDA_SUCCESS) return state;
  const sqf::Allocation* const found = driver().memory.find(as_device(host));
  if (out == nullptr || flags != 0 || found == nullptr || !found->host) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  *out = as_device(host);
  return CUDA_SUCCESS;
}

CUresult cuMemcpyHtoD(CUdeviceptr to, const void* from, size_t bytes) {
  return sqf::copy_and_wait(to, true, as_device(from), false, bytes);
}
CUresult cuMemcpyDtoH(void* to, CUdeviceptr from, size_t bytes) {
  return sqf::copy_and_wait(as_device(to), false, from, true, bytes);
}
CUresult cuMemcpyDtoD(CUdeviceptr to, CUdeviceptr from, size_t bytes) {
  return sqf::copy_and_wait(to, true, from, true, bytes);
}
CUresult cuMemcpyHtoDAsync(CUdeviceptr to, const void* from, size_t bytes, CUstream stream) {
  return sqf::copy_later(to, true, as_device(from), false, bytes, stream);
}
CUresult cuMemcpyDtoHAsync(void* to, CUdeviceptr from, size_t bytes, CUstream stream) {
  return sqf::copy_later(as_device(to), false, from, true, bytes, stream);
}
CUresult cuMemcpyDtoDAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
  return sqf::copy_later(to, true, from, true, bytes, stream);
}
CUresult cuMemsetD8(CUdeviceptr to, unsigned char value, size_t count) {
  return sqf::fill_later(to, value, 1, count, nullptr);
}
CUresult cuMemsetD16(CUdeviceptr to, unsigned short value, size_t count) {
  return sqf::fill_later(to, value, 2, count, nullptr);
}
CUresult cuMemsetD32(CUdeviceptr to, unsigned int value, size_t count) {
  return sqf::fill_later(to, value, 4, count, nullptr);
}
CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t count, CUstream stream) {
  return sqf::fill_later(to, value, 1, count, stream);
}
CUresult cuMemsetD16Async(CUdeviceptr to, unsigned short value, size_t count, CUstream stream) {
  return sqf::fill_later(to, value, 2, count, stream);
}
CUresult cuMemsetD32Async(CUdeviceptr to, unsigned int value, size_t count, CUstream stream) {
  return sqf::fill_later(to, value, 4, count, stream);
}

}  // extern "C"

#include <cstdlib>
#include <cstring>

#include "tests/cuda_emulator/driver.hpp"

// Initialisation, devices, contexts.

namespace sqf {
namespace {

bool is_device(CUdevice device) {
  return device >= 0 && device < driver().settings.devices;
}

int shared_per_block_optin(int capability) {
  if (capability == 80 || capability == 87) return 166912;
  if (capability == 86 || capability == 89 || capability >= 120) return 101376;
  if (capability >= 90) return 232448;
  return capability == 75 ? 65536 : capability >= 70 ? 98304 : 49152;
}

int attribute_of(CUdevice_attribute attribute, bool& known) {
  const Settings& settings = driver().settings;
  known = true;
  switch (attribute) {
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X:
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y:
      return 1024;
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z:
      return 64;
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X:
      return 0x7fffffff;
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y:
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z:
      return 65535;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK:
      return 49152;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN:
      return shared_per_block_optin(settings.capability);
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR:
      return shared_per_block_optin(settings.capability) + 1024;
    case CU_DEVICE_ATTRIBUTE_RESERVED_SHARED_MEMORY_PER_BLOCK:
      return settings.capability >= 80 ? 1024 : 0;
    case CU_DEVICE_ATTRIBUTE_TOTAL_CONSTANT_MEMORY:
      return 65536;
    case CU_DEVICE_ATTRIBUTE_WARP_SIZE:
      return 32;
    case CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK:
    case CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR:
      return 65536;
    case CU_DEVICE_ATTRIBUTE_CLOCK_RATE:
    case CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE:
      return 1215000;
    case CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH:
      return 5120;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT:
      return settings.multiprocessors;
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR:
      return shared_per_block_optin(settings.capability) == 101376 ? 1536 : 2048;
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCKS_PER_MULTIPROCESSOR:
      return 32;
    case CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE:
      return 40 << 20;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR:
      return settings.capability / 10;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR:
      return settings.capability % 10;
    case CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT:
      return 3;
    case CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY:
    case CU_DEVICE_ATTRIBUTE_CONCURRENT_KERNELS:
    case CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING:
    case CU_DEVICE_ATTRIBUTE_GPU_OVERLAP:
    case CU_DEVICE_ATTRIBUTE_STREAM_PRIORITIES_SUPPORTED:
      return 1;
    case CU_DEVICE_ATTRIBUTE_INTEGRATED:
    case CU_DEVICE_ATTRIBUTE_COMPUTE_MODE:
    case CU_DEVICE_ATTRIBUTE_KERNEL_EXEC_TIMEOUT:
    case CU_DEVICE_ATTRIBUTE_ECC_ENABLED:
    case CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH:
    case CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY:
    case CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED:
    case CU_DEVICE_ATTRIBUTE_PCI_BUS_ID:
    case CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID:
    case CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID:
      return 0;
    default:
      known = false;
      return 0;
  }
}

}  // namespace
}  // namespace sqf

using sqf::Call;
using sqf::context_stack;
using sqf::driver;

extern "C" {

CUresult cuInit(unsigned int flags) {
  const Call call;
  if (flags != 0) return CUDA_ERROR_INVALID_VALUE;
  sqf::Settings settings;
  const std::string mistake = sqf::parse_settings(std::getenv("SQF_EMULATOR"), settings);
  if (!mistake.empty()) {
    sqf::say(mistake);
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (settings.init != 0) return static_cast<CUresult>(settings.init);
  if (settings.devices == 0) return CUDA_ERROR_NO_DEVICE;
  sqf::Driver& state = driver();
  state.settings = settings;
  state.allocations = state.launches = 0;
  state.initialized = true;
  return CUDA_SUCCESS;
}

CUresult cuDriverGetVersion(int* version) {
  const Call call;
  if (version == nullptr) return CUDA_ERROR_INVALID_VALUE;
  sqf::Settings settings;
  const bool fine = sqf::parse_settings(std::getenv("SQF_EMULATOR"), settings).empty();
  *version = driver().initialized || !fine ? driver().settings.driver : settings.driver;
  return CUDA_SUCCESS;
}

CUresult cuDeviceGetCount(int* count) {
  const Call call;
  if (call.ready() != CUDA_SUCCESS) return call.ready();
  if (count == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *count = driver().settings.devices;
  return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice* device, int ordinal) {
  const Call call;
  if (call.ready() != CUDA_SUCCESS) return call.ready();
  if (device == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (!sqf::is_device(ordinal)) return CUDA_ERROR_INVALID_DEVICE;
  *device = ordinal;
  return CUDA_SUCCESS;
}

CUresult cuDeviceGetName(char* name, int length, CUdevice device) {
  const Call call;
  if (call.ready() != CUDA_SUCCESS) return call.ready();
  if (name == nullptr || length <= 0) return CUDA_ERROR_INVALID_VALUE;
  if (!sqf::is_device(device)) return CUDA_ERROR_INVALID_DEVICE;
  std::strncpy(name, "SQF emulated GPU", static_cast<size_t>(length) - 1);
  name[length - 1] = '\0';
  return CUDA_SUCCESS;
}

CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice device) {
  const Call call;
  if (call.ready() != CUDA_SUCCESS) return call.ready();
  if (value == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (!sqf::is_device(device)) return CUDA_ERROR_INVALID_DEVICE;
  bool known = false;
  const int found = sqf::attribute_of(attribute, known);
  if (!known) return CUDA_ERROR_INVALID_VALUE;
  *value = found;
  return CUDA_SUCCESS;
}

CUresult cuDeviceTotalMem(size_t* bytes, CUdevice device) {
  const Call call;
  if (call.ready() != CUDA_SUCCESS) return call.ready();
  if (bytes == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (!sqf::is_device(device)) return CUDA_ERROR_INVALID_DEVICE;
  *bytes = driver().settings.memory;
  return CUDA_SUCCESS;
}

CUresult cuDeviceGetUuid(CUuuid* uuid, CUdevice device) {
  const Call call;
  if (call.ready() != CUDA_SUCCESS) return call.ready();
  if (uuid == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (!sqf::is_device(device)) return CUDA_ERROR_INVALID_DEVICE;
  std::memset(uuid->bytes, 0x5f, sizeof(uuid->bytes));
  uuid->bytes[15] = static_cast<char>(device);
  return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice device) {
  const Call call;
  if (call.ready() != CUDA_SUCCESS) return call.ready();
  if (context == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (!sqf::is_device(device)) return CUDA_ERROR_INVALID_DEVICE;
  driver().counts[device]++;
  *context = sqf::context_of(device);
  return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRelease(CUdevice device) {
  const Call call;
  if (call.ready() != CUDA_SUCCESS) return call.ready();
  if (!sqf::is_device(device)) return CUDA_ERROR_INVALID_DEVICE;
  if (driver().counts[device] == 0) return CUDA_ERROR_INVALID_CONTEXT;
  if (--driver().counts[device] > 0) return CUDA_SUCCESS;
  bool other = false;  // memory and modules are not kept apart by device
  for (const auto& [number, count] : driver().counts) other = other || count != 0;
  if (!other) driver().destroy_context();
  return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxGetState(CUdevice device, unsigned int* flags, int* active) {
  const Call call;
  if (call.ready() != CUDA_SUCCESS) return call.ready();
  if (flags == nullptr || active == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (!sqf::is_device(device)) return CUDA_ERROR_INVALID_DEVICE;
  *flags = 0;
  *active = driver().counts[device] != 0 ? 1 : 0;
  return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxSetFlags(CUdevice device, unsigned int) {
  const Call call;
  if (call.ready() != CUDA_SUCCESS) return call.ready();
  return sqf::is_device(device) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

CUresult cuCtxGetCurrent(CUcontext* context) {
  const Call call;
  if (call.ready() != CUDA_SUCCESS) return call.ready();
  if (context == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *context = context_stack().empty() ? nullptr : sqf::context_of(context_stack().back());
  return CUDA_SUCCESS;
}

CUresult cuCtxSetCurrent(CUcontext context) {
  const Call call;
  if (call.ready() != CUDA_SUCCESS) return call.ready();
  if (context == nullptr) {
    if (!context_stack().empty()) context_stack().pop_back();
    return CUDA_SUCCESS;
  }
  const int device = sqf::device_of(context);
  if (device < 0 || driver().counts[device] == 0) return CUDA_ERROR_INVALID_CONTEXT;
  if (!context_stack().empty()) context_stack().pop_back();
  context_stack().push_back(device);
  return CUDA_SUCCESS;
}

CUresult cuCtxPushCurrent(CUcontext context) {
  const Call call;
  if (call.ready() != CUDA_SUCCESS) return call.ready();
  const int device = sqf::device_of(context);
  if (device < 0 || driver().counts[device] == 0) return CUDA_ERROR_INVALID_CONTEXT;
  context_stack().push_back(device);
  return CUDA_SUCCESS;
}

CUresult cuCtxPopCurrent(CUcontext* context) {
  const Call call;
  if (call.ready() != CUDA_SUCCESS) return call.ready();
  if (context_stack().empty()) return CUDA_ERROR_INVALID_CONTEXT;
  if (context != nullptr) *context = sqf::context_of(context_stack().back());
  context_stack().pop_back();
  return CUDA_SUCCESS;
}

CUresult cuCtxGetDevice(CUdevice* device) {
  const Call call;
  if (call.with_context() != CUDA_SUCCESS) return call.with_context();
  if (device == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *device = context_stack().back();
  return CUDA_SUCCESS;
}

CUresult cuCtxSynchronize(void) {
  const Call call;
  return call.synchronous();
}

}  // extern "C"

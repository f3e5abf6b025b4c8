#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "tests/cuda_emulator/driver.hpp"
#include "tests/cuda_emulator/launch.hpp"

// Launches of kernels.

namespace sqf {
namespace {

/// The parameters as the kernel sees them, or CUDA_ERROR_INVALID_VALUE.
CUresult gather_parameters(const Kernel& kernel, void** values, void** extra,
                           std::vector<uint8_t>& out) {
  out.assign(static_cast<size_t>(kernel.parameter_bytes), 0);
  if (values != nullptr && extra != nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (extra != nullptr) {
    const void* buffer = nullptr;
    size_t bytes = 0;
    for (size_t i = 0; extra[i] != CU_LAUNCH_PARAM_END; i += 2) {
      if (extra[i] == CU_LAUNCH_PARAM_BUFFER_POINTER) buffer = extra[i + 1];
      if (extra[i] == CU_LAUNCH_PARAM_BUFFER_SIZE) bytes = *static_cast<size_t*>(extra[i + 1]);
    }
    if (buffer == nullptr || bytes < out.size()) return CUDA_ERROR_INVALID_VALUE;
    std::memcpy(out.data(), buffer, out.size());
    return CUDA_SUCCESS;
  }
  if (values == nullptr && !kernel.parameters.empty()) return CUDA_ERROR_INVALID_VALUE;
  for (size_t i = 0; i < kernel.parameters.size(); i++) {
    if (values[i] == nullptr) return CUDA_ERROR_INVALID_VALUE;
    std::memcpy(out.data() + kernel.parameters[i].offset, values[i],
                static_cast<size_t>(kernel.parameters[i].bytes));
  }
  return CUDA_SUCCESS;
}

bool fits(const EmulatedFunction& function, const LaunchShape& shape) {
  const Extent& grid = shape.grid;
  const Extent& block = shape.block;
  const Kernel& kernel = function.kernel;
  if (grid.count() == 0 || block.count() == 0) return false;
  if (grid.x > 0x7fffffff || grid.y > 65535 || grid.z > 65535) return false;
  if (block.x > 1024 || block.y > 1024 || block.z > 64) return false;
  if (block.count() > static_cast<uint64_t>(kernel.max_threads)) return false;
  if (kernel.required[0] != 0 && (block.x != static_cast<uint32_t>(kernel.required[0]) ||
                                  block.y != static_cast<uint32_t>(kernel.required[1]) ||
                                  block.z != static_cast<uint32_t>(kernel.required[2]))) {
    return false;
  }
  return static_cast<int64_t>(shape.dynamic_shared_bytes) <= function.max_dynamic_shared;
}

CUresult launch_now(EmulatedFunction* function, LaunchShape shape,
                    const std::vector<uint8_t>& parameters) {
  Driver& device = driver();
  if (!device.functions.contains(function)) return CUDA_ERROR_INVALID_HANDLE;
  if (device.sticky != CUDA_SUCCESS) return device.sticky;
  const int64_t number = ++device.launches;
  if (number == device.settings.fail_launch) return CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES;
  shape.grid_id = static_cast<uint64_t>(number);
  shape.multiprocessors = static_cast<uint32_t>(device.settings.multiprocessors);
  shape.limit = device.settings.limit;
  LaunchResult result;
  if (number == device.settings.illegal) {
    result.fault = {CUDA_ERROR_ILLEGAL_ADDRESS,
                    "kernel " + function->kernel.name + ": an illegal address, as was asked for"};
  } else {
    result = run_launch(function->kernel, shape, parameters, device.memory, device.settings.seed,
                        device.settings.threads);
  }
  const char* const report = std::getenv("SQF_EMULATOR_REPORT");
  if (report != nullptr) report_launch(report, function->kernel, shape, result);
  if (result.fault.code == 0) return CUDA_SUCCESS;
  say(result.fault.message);
  device.sticky = static_cast<CUresult>(result.fault.code);
  return device.settings.late_errors ? CUDA_SUCCESS : device.sticky;
}

CUresult launch(CUfunction handle, const LaunchShape& shape, CUstream stream, void** values,
                void** extra) {
  const Call call;
  const CUresult state = call.healthy();
  if (state != CUDA_SUCCESS) return state;
  auto* const function = reinterpret_cast<EmulatedFunction*>(handle);
  if (!driver().functions.contains(function)) return CUDA_ERROR_INVALID_HANDLE;
  std::vector<uint8_t> parameters;
  const CUresult given = gather_parameters(function->kernel, values, extra, parameters);
  if (given != CUDA_SUCCESS) return given;
  if (!fits(*function, shape)) return CUDA_ERROR_INVALID_VALUE;
  return submit(stream, [=] { return launch_now(function, shape, parameters); });
}

}  // namespace
}  // namespace sqf

extern "C" {

CUresult cuLaunchKernel(CUfunction function, unsigned int grid_x, unsigned int grid_y,
                        unsigned int grid_z, unsigned int block_x, unsigned int block_y,
                        unsigned int block_z, unsigned int shared_bytes, CUstream stream,
                        void** values, void** extra) {
  sqf::LaunchShape shape;
  shape.grid = {grid_x, grid_y, grid_z};
  shape.block = {block_x, block_y, block_z};
  shape.dynamic_shared_bytes = shared_bytes;
  return sqf::launch(function, shape, stream, values, extra);
}

/// Without attributes: each would change what a launch means.
CUresult cuLaunchKernelEx(const CUlaunchConfig* config, CUfunction function, void** values,
                          void** extra) {
  if (config == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (config->numAttrs != 0) return CUDA_ERROR_NOT_SUPPORTED;
  sqf::LaunchShape shape;
  shape.grid = {config->gridDimX, config->gridDimY, config->gridDimZ};
  shape.block = {config->blockDimX, config->blockDimY, config->blockDimZ};
  shape.dynamic_shared_bytes = config->sharedMemBytes;
  return sqf::launch(function, shape, config->hStream, values, extra);
}

}  // extern "C"

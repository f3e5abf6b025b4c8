#pragma once
// The CUDA driver, found when the program runs: the same program serves machines without one.
// SQF_LIBCUDA names another library than libcuda.so.1.

#include <cuda.h>

#include <string>

#include "format/result.hpp"

namespace sqf {

/// What the runtime calls, under the names that drivers from 12.0 on export.
struct Driver {
  decltype(&cuInit) init;
  decltype(&cuDriverGetVersion) driver_get_version;
  decltype(&cuGetErrorName) get_error_name;
  decltype(&cuGetErrorString) get_error_string;
  decltype(&cuDeviceGetCount) device_get_count;
  decltype(&cuDeviceGet) device_get;
  decltype(&cuDeviceGetName) device_get_name;
  decltype(&cuDeviceGetAttribute) device_get_attribute;
  decltype(&cuDevicePrimaryCtxRetain) primary_context_retain;
  decltype(&cuDevicePrimaryCtxRelease) primary_context_release;
  decltype(&cuCtxSetCurrent) context_set_current;
  decltype(&cuMemGetInfo) memory_get_info;
  decltype(&cuMemAlloc) memory_allocate;
  decltype(&cuMemFree) memory_free;
  decltype(&cuMemHostAlloc) host_allocate;
  decltype(&cuMemFreeHost) host_free;
  decltype(&cuMemcpyHtoDAsync) copy_to_device;
  decltype(&cuMemcpyDtoHAsync) copy_to_host;
  decltype(&cuMemsetD8Async) fill;
  decltype(&cuModuleLoadData) module_load;
  decltype(&cuModuleUnload) module_unload;
  decltype(&cuModuleGetFunction) module_get_function;
  decltype(&cuFuncSetAttribute) function_set_attribute;
  decltype(&cuLaunchKernel) launch;
  decltype(&cuStreamCreate) stream_create;
  decltype(&cuStreamDestroy) stream_destroy;
  decltype(&cuStreamSynchronize) stream_synchronize;
  decltype(&cuStreamBeginCapture) capture_begin;
  decltype(&cuStreamEndCapture) capture_end;
  CUresult (*graph_instantiate)(CUgraphExec* out, CUgraph graph, unsigned long long flags);
  decltype(&cuGraphLaunch) graph_launch;
  decltype(&cuGraphExecDestroy) graph_exec_destroy;
  decltype(&cuGraphDestroy) graph_destroy;
};

/// Loaded once and kept. Errors: unsupported, with why there is none or it is too old.
Result<const Driver*> cuda_driver();

/// Of a failed call: io, with the driver's own name for it.
Error cuda_error(const Driver& driver, CUresult result, const std::string& what);

}  // namespace sqf

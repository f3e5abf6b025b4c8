#include "cuda/driver.hpp"

#include <dlfcn.h>

#include <cstdlib>

namespace sqf {
namespace {

constexpr int kOldestDriver = 12000;

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

class Loader {
 public:
  explicit Loader(void* library) : library_(library) {}

  template <typename Function>
  void operator()(const char* name, Function* function) {
    *function = reinterpret_cast<Function>(dlsym(library_, name));
    if (*function == nullptr && missing_.empty()) missing_ = name;
  }
  const std::string& missing() const { return missing_; }

 private:
  void* library_;
  std::string missing_;
};

std::string load_all(void* library, Driver* d) {
  Loader load(library);
  load("cuInit", &d->init);
  load("cuDriverGetVersion", &d->driver_get_version);
  load("cuGetErrorName", &d->get_error_name);
  load("cuGetErrorString", &d->get_error_string);
  load("cuDeviceGetCount", &d->device_get_count);
  load("cuDeviceGet", &d->device_get);
  load("cuDeviceGetName", &d->device_get_name);
  load("cuDeviceGetAttribute", &d->device_get_attribute);
  load("cuDevicePrimaryCtxRetain", &d->primary_context_retain);
  load("cuDevicePrimaryCtxRelease_v2", &d->primary_context_release);
  load("cuCtxSetCurrent", &d->context_set_current);
  load("cuMemGetInfo_v2", &d->memory_get_info);
  load("cuMemAlloc_v2", &d->memory_allocate);
  load("cuMemFree_v2", &d->memory_free);
  load("cuMemHostAlloc", &d->host_allocate);
  load("cuMemFreeHost", &d->host_free);
  load("cuMemcpyHtoDAsync_v2", &d->copy_to_device);
  load("cuMemcpyDtoHAsync_v2", &d->copy_to_host);
  load("cuMemsetD8Async", &d->fill);
  load("cuModuleLoadData", &d->module_load);
  load("cuModuleUnload", &d->module_unload);
  load("cuModuleGetFunction", &d->module_get_function);
  load("cuFuncSetAttribute", &d->function_set_attribute);
  load("cuLaunchKernel", &d->launch);
  load("cuStreamCreate", &d->stream_create);
  load("cuStreamDestroy_v2", &d->stream_destroy);
  load("cuStreamSynchronize", &d->stream_synchronize);
  load("cuStreamBeginCapture_v2", &d->capture_begin);
  load("cuStreamEndCapture", &d->capture_end);
  load("cuGraphInstantiateWithFlags", &d->graph_instantiate);
  load("cuGraphLaunch", &d->graph_launch);
  load("cuGraphExecDestroy", &d->graph_exec_destroy);
  load("cuGraphDestroy", &d->graph_destroy);
  return load.missing();
}

Result<Driver> load_driver() {
  const char* other = std::getenv("SQF_LIBCUDA");
  const std::string name = other != nullptr ? other : "libcuda.so.1";
  void* library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    if (other == nullptr) return unsupported("there is no CUDA driver here (libcuda.so.1)");
    return unsupported(std::string("SQF_LIBCUDA: ") + dlerror());
  }
  Driver driver;
  if (const std::string missing = load_all(library, &driver); !missing.empty())
    return unsupported("the CUDA driver " + name + " is too old: it has no " + missing +
                       "; 12.0 or newer is needed");
  int version = 0;
  if (driver.driver_get_version(&version) == CUDA_SUCCESS && version < kOldestDriver)
    return unsupported("the CUDA driver is of " + version_text(version) +
                       "; 12.0 or newer is needed");
  const CUresult started = driver.init(0);
  if (started == CUDA_ERROR_NO_DEVICE) return unsupported("the CUDA driver finds no GPU");
  if (started != CUDA_SUCCESS)
    return unsupported(cuda_error(driver, started, "the CUDA driver does not start").message);
  return driver;
}

}  // namespace

Result<const Driver*> cuda_driver() {
  static const Result<Driver> driver = load_driver();
  if (!driver) return driver.error();
  return &*driver;
}

Error cuda_error(const Driver& driver, CUresult result, const std::string& what) {
  const char *name = nullptr, *text = nullptr;
  driver.get_error_name(result, &name);
  driver.get_error_string(result, &text);
  std::string message =
      what + ": " + (name != nullptr ? name : "CUDA error " + std::to_string(result));
  if (text != nullptr) message += std::string(" (") + text + ")";
  return io_error(message);
}

}  // namespace sqf

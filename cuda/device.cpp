#include "cuda/device.hpp"

#include <array>
#include <utility>

#include "cuda/fatbins.hpp"

namespace sqf {
namespace {

constexpr int kOldestCapability = 80;

}  // namespace

DeviceMemory::DeviceMemory(DeviceMemory&& other) noexcept {
  *this = std::move(other);
}
DeviceMemory& DeviceMemory::operator=(DeviceMemory&& other) noexcept {
  std::swap(device_, other.device_);
  std::swap(address_, other.address_);
  std::swap(size_, other.size_);
  return *this;
}
DeviceMemory::~DeviceMemory() {
  if (address_ != 0) device_->driver().memory_free(address_);
}

PinnedMemory::PinnedMemory(PinnedMemory&& other) noexcept {
  *this = std::move(other);
}
PinnedMemory& PinnedMemory::operator=(PinnedMemory&& other) noexcept {
  std::swap(device_, other.device_);
  std::swap(memory_, other.memory_);
  std::swap(size_, other.size_);
  return *this;
}
PinnedMemory::~PinnedMemory() {
  if (memory_ != nullptr) device_->driver().host_free(memory_);
}

Result<int> Device::attribute(CUdevice_attribute which) const {
  int value = 0;
  if (const CUresult r = driver_->device_get_attribute(&value, which, device_); r != CUDA_SUCCESS)
    return cuda_error(*driver_, r, "asking the GPU what it is");
  return value;
}

Result<std::unique_ptr<Device>> Device::open() {
  const auto driver = cuda_driver();
  if (!driver) return driver.error();
  std::unique_ptr<Device> device(new Device(*driver));
  const Driver& d = **driver;
  int count = 0;
  if (const CUresult r = d.device_get_count(&count); r != CUDA_SUCCESS)
    return cuda_error(d, r, "counting GPUs");
  if (count == 0) return unsupported("the CUDA driver finds no GPU");
  std::array<char, 256> name = {};
  if (const CUresult r = d.device_get(&device->device_, 0); r != CUDA_SUCCESS)
    return cuda_error(d, r, "opening the GPU");
  d.device_get_name(name.data(), name.size() - 1, device->device_);
  device->name_ = name.data();
  std::array<int, 4> values = {};
  constexpr std::array kAttributes = {CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
                                      CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
                                      CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT,
                                      CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN};
  for (size_t i = 0; i < kAttributes.size(); i++) {
    const auto value = device->attribute(kAttributes[i]);
    if (!value) return value.error();
    values[i] = *value;
  }
  device->capability_ = values[0] * 10 + values[1];
  if (device->capability_ < kOldestCapability)
    return unsupported(device->name_ + " has compute capability " + std::to_string(values[0]) +
                       "." + std::to_string(values[1]) + "; 8.0 or newer is needed");
  device->multiprocessors_ = values[2];
  device->shared_limit_ = values[3];
  if (const CUresult r = d.primary_context_retain(&device->context_, device->device_);
      r != CUDA_SUCCESS) {
    device->context_ = nullptr;
    return cuda_error(d, r, "making a context on " + device->name_);
  }
  if (const CUresult r = d.context_set_current(device->context_); r != CUDA_SUCCESS)
    return cuda_error(d, r, "making a context on " + device->name_);
  if (const CUresult r = d.stream_create(&device->stream_, CU_STREAM_NON_BLOCKING);
      r != CUDA_SUCCESS)
    return cuda_error(d, r, "making a stream");
  if (auto r = device->load_kernels(); !r) return r.error();
  return device;
}

Device::~Device() {
  for (CUmodule module : modules_) driver_->module_unload(module);
  if (stream_ != nullptr) driver_->stream_destroy(stream_);
  if (context_ != nullptr) driver_->primary_context_release(device_);
}

Result<void> Device::load_kernels() {
  for (const Fatbin& image : fatbins()) {
    CUmodule module = nullptr;
    if (const CUresult r = driver_->module_load(&module, image.begin); r != CUDA_SUCCESS)
      return cuda_error(*driver_, r, "loading the kernels of " + std::string(image.name));
    modules_.push_back(module);
  }
  return {};
}

Result<size_t> Device::free_memory() const {
  size_t free = 0, total = 0;
  if (const CUresult r = driver_->memory_get_info(&free, &total); r != CUDA_SUCCESS)
    return cuda_error(*driver_, r, "asking for the GPU's free memory");
  return free;
}

Result<void> Device::use_here() const {
  if (const CUresult r = driver_->context_set_current(context_); r != CUDA_SUCCESS)
    return cuda_error(*driver_, r, "using the GPU from another thread");
  return {};
}

Result<DeviceMemory> Device::allocate(size_t bytes, const std::string& what) const {
  DeviceMemory memory;
  if (bytes == 0) return memory;
  if (const CUresult r = driver_->memory_allocate(&memory.address_, bytes); r != CUDA_SUCCESS) {
    memory.address_ = 0;
    return cuda_error(*driver_, r,
                      "no " + std::to_string(bytes) + " bytes on " + name_ + " for " + what);
  }
  memory.device_ = this;
  memory.size_ = bytes;
  return memory;
}

Result<PinnedMemory> Device::allocate_pinned(size_t bytes) const {
  PinnedMemory memory;
  if (const CUresult r = driver_->host_allocate(&memory.memory_, bytes, 0); r != CUDA_SUCCESS) {
    memory.memory_ = nullptr;
    return cuda_error(*driver_, r, "no " + std::to_string(bytes) + " bytes of page-locked memory");
  }
  memory.device_ = this;
  memory.size_ = bytes;
  return memory;
}

Result<void> Device::copy_to_device(void* to, const void* from, size_t bytes) const {
  const CUresult r =
      driver_->copy_to_device(reinterpret_cast<CUdeviceptr>(to), from, bytes, stream_);
  if (r != CUDA_SUCCESS) return cuda_error(*driver_, r, "copying to the GPU");
  return {};
}

Result<void> Device::copy_to_host(void* to, const void* from, size_t bytes) const {
  const CUresult r = driver_->copy_to_host(to, reinterpret_cast<CUdeviceptr>(from), bytes, stream_);
  if (r != CUDA_SUCCESS) return cuda_error(*driver_, r, "copying from the GPU");
  return {};
}

Result<void> Device::zero(void* to, size_t bytes) const {
  const CUresult r = driver_->fill(reinterpret_cast<CUdeviceptr>(to), 0, bytes, stream_);
  if (r != CUDA_SUCCESS) return cuda_error(*driver_, r, "clearing memory of the GPU");
  return {};
}

Result<CUfunction> Device::kernel(const std::string& name) const {
  if (const auto known = kernels_.find(name); known != kernels_.end()) return known->second;
  for (CUmodule module : modules_) {
    CUfunction function = nullptr;
    if (driver_->module_get_function(&function, module, name.c_str()) != CUDA_SUCCESS) continue;
    kernels_[name] = function;
    return function;
  }
  return io_error("this build has no CUDA kernel " + name);
}

Result<void> Device::allow_shared(CUfunction function, unsigned bytes) const {
  if (bytes > static_cast<unsigned>(shared_limit_))
    return unsupported(name_ + " has " + std::to_string(shared_limit_) +
                       " bytes of shared memory a block; a kernel needs " + std::to_string(bytes));
  unsigned& allowed = shared_[function];
  if (bytes <= allowed) return {};
  const CUresult r = driver_->function_set_attribute(
      function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, static_cast<int>(bytes));
  if (r != CUDA_SUCCESS) return cuda_error(*driver_, r, "asking for shared memory");
  allowed = bytes;
  return {};
}

Result<void> Device::launch(CUfunction function, const LaunchShape& shape,
                            const void* arguments) const {
  void* const one = const_cast<void*>(arguments);
  return launch(function, shape, std::span(&one, 1));
}

Result<void> Device::launch(CUfunction function, const LaunchShape& shape,
                            std::span<void* const> arguments) const {
  const CUresult r =
      driver_->launch(function, shape.grid_x, shape.grid_y, 1, shape.threads, 1, 1,
                      shape.shared_bytes, stream_, const_cast<void**>(arguments.data()), nullptr);
  if (r != CUDA_SUCCESS) return cuda_error(*driver_, r, "starting a kernel");
  return {};
}

Result<void> Device::wait() const {
  if (const CUresult r = driver_->stream_synchronize(stream_); r != CUDA_SUCCESS)
    return cuda_error(*driver_, r, "the GPU's work failed");
  return {};
}

}  // namespace sqf

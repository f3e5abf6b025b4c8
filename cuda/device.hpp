#pragma once
// One GPU: its memory, one stream of work in order, and the kernels of this build. Every call that
// fails says what it was for; a fault inside a kernel comes out of the next call that waits.

#include <cstddef>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "cuda/driver.hpp"

namespace sqf {

class Device;

/// Memory on the device, freed with its owner. Move-only.
class DeviceMemory {
 public:
  DeviceMemory() = default;
  DeviceMemory(DeviceMemory&& other) noexcept;
  DeviceMemory& operator=(DeviceMemory&& other) noexcept;
  ~DeviceMemory();

  size_t size() const { return size_; }
  template <typename T = std::byte>
  T* as() const {
    return reinterpret_cast<T*>(address_);
  }

 private:
  friend class Device;
  const Device* device_ = nullptr;
  CUdeviceptr address_ = 0;
  size_t size_ = 0;
};

/// Page-locked memory of the host, which copies can run from and to. Move-only.
class PinnedMemory {
 public:
  PinnedMemory() = default;
  PinnedMemory(PinnedMemory&& other) noexcept;
  PinnedMemory& operator=(PinnedMemory&& other) noexcept;
  ~PinnedMemory();

  size_t size() const { return size_; }
  template <typename T = std::byte>
  T* as() const {
    return static_cast<T*>(memory_);
  }

 private:
  friend class Device;
  const Device* device_ = nullptr;
  void* memory_ = nullptr;
  size_t size_ = 0;
};

struct LaunchShape {
  unsigned grid_x = 1, grid_y = 1, threads = 32, shared_bytes = 0;
};

/// Addresses must not change while memory of it lives: held by pointer.
class Device {
 public:
  /// The first GPU. Errors: unsupported (no driver, none there, too old a GPU), io.
  static Result<std::unique_ptr<Device>> open();
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  const std::string& name() const { return name_; }
  int capability() const { return capability_; }  ///< of 8.6: 86
  int multiprocessors() const { return multiprocessors_; }
  int shared_limit() const { return shared_limit_; }  ///< bytes a block can have
  Result<size_t> free_memory() const;
  /// Before another thread than open()'s calls anything here.
  Result<void> use_here() const;

  /// Errors: io, with `what` and the bytes.
  Result<DeviceMemory> allocate(size_t bytes, const std::string& what) const;
  Result<PinnedMemory> allocate_pinned(size_t bytes) const;
  /// In the order of the stream; `from` and `to` must live until it comes to them.
  Result<void> copy_to_device(void* to, const void* from, size_t bytes) const;
  Result<void> copy_to_host(void* to, const void* from, size_t bytes) const;
  Result<void> zero(void* to, size_t bytes) const;

  /// Errors: io for a name that no image has.
  Result<CUfunction> kernel(const std::string& name) const;
  /// Lets the kernel be launched with so much shared memory, or with more where that was asked for
  /// before. Errors: unsupported where the GPU has less.
  Result<void> allow_shared(CUfunction function, unsigned bytes) const;
  /// `arguments` is the kernel's one struct.
  Result<void> launch(CUfunction function, const LaunchShape& shape, const void* arguments) const;
  Result<void> launch(CUfunction function, const LaunchShape& shape,
                      std::span<void* const> arguments) const;
  Result<void> wait() const;

  const Driver& driver() const { return *driver_; }
  CUstream stream() const { return stream_; }

 private:
  explicit Device(const Driver* driver) : driver_(driver) {}
  Result<void> load_kernels();
  Result<int> attribute(CUdevice_attribute which) const;

  const Driver* driver_;
  CUdevice device_ = 0;
  CUcontext context_ = nullptr;
  CUstream stream_ = nullptr;
  std::string name_;
  int capability_ = 0, multiprocessors_ = 0, shared_limit_ = 0;
  std::vector<CUmodule> modules_;
  mutable std::map<std::string, CUfunction> kernels_;
  mutable std::map<CUfunction, unsigned> shared_;  ///< allowed so far
};

}  // namespace sqf

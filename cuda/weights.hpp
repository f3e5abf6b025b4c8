#pragma once
// A file's tensor bytes on the GPU, as they stand in the file: kernels read the same tiles there.

#include "cuda/device.hpp"
#include "cuda/kernels/arguments.hpp"
#include "cuda/placement.hpp"
#include "loader/model_file.hpp"
#include "runtime/linear.hpp"

namespace sqf {

/// Bytes of the mapping, and how far into the GPU's memory they were put.
struct Moved {
  std::span<const std::byte> from;
  size_t to = 0;
};

class DeviceWeights {
 public:
  /// Copies these ranges of the file in its order, which is the order of use, through a small ring
  /// of pinned memory with several readers. Errors: io.
  static Result<DeviceWeights> upload(const Device& device, const ModelFile& file,
                                      std::span<const DataRange> ranges);
  /// All of DATA.
  static Result<DeviceWeights> upload(const Device& device, const ModelFile& file) {
    const DataRange all = {file.head().data_begin(), file.head().data_end()};
    return upload(device, file, std::span(&all, 1));
  }

  /// Where bytes of the mapping, which lie in one of the ranges, stand on the GPU; null stays null.
  template <typename T>
  const T* at(const T* mapped) const {
    if (mapped == nullptr) return nullptr;
    return reinterpret_cast<const T*>(place_of(reinterpret_cast<const std::byte*>(mapped)));
  }

  /// A part, with the tables of its encoding. Errors: io.
  Result<DevicePart> part(const PartView& part);
  /// A factor [rows, columns] of a low-rank pair: f16, or i8 as codes about 128. Errors: io.
  Result<DevicePart> factor(const LowRankFactor& factor);

  /// Keeps a copy of what the host worked out. Errors: io.
  template <typename T>
  Result<const T*> keep(const std::vector<T>& values) {
    auto r = keep_bytes(values.data(), values.size() * sizeof(T));
    if (!r) return r.error();
    return reinterpret_cast<const T*>(*r);
  }
  size_t bytes() const { return data_.size(); }

 private:
  /// Values [rows, columns] of so many bits: a row that stands alone is made a tile.
  Result<void> place_values(const std::byte* values, DevicePart* part);
  Result<const std::byte*> keep_bytes(const void* from, size_t bytes);
  const std::byte* place_of(const std::byte* mapped) const;

  const Device* device_ = nullptr;
  std::vector<Moved> moved_;
  DeviceMemory data_;
  std::vector<DeviceMemory> kept_;
};

/// Whether tensor cores can take the codes: planes of whole bits, groups of whole runs, and values
/// that f16 holds exactly but for its rounding.
bool has_tensor_core_form(const EncodingRecord& encoding);

}  // namespace sqf

#pragma once
// The kernels as nvcc made them: one fatbin per .cu file, in the program's read-only data, 64-byte
// aligned, for cuModuleLoadData. Not compressed: the PTX in it can be read.

#include <cstddef>
#include <span>
#include <string_view>

namespace sqf {

struct Fatbin {
  std::string_view name;  // of the .cu file, without its ending
  const std::byte* begin;
  const std::byte* end;
};

std::span<const Fatbin> fatbins();

}  // namespace sqf

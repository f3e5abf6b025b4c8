#pragma once

// The PTX in what cuModuleLoadData is given: text, or a fatbin as nvcc writes it. Compressed
// entries are refused.

#include <optional>
#include <string>

namespace sqf {

struct Image {
  std::string ptx;
  int code = 0;  // CUresult where there is no PTX to take
  std::string error;
};
/// `capability`: 80 for 8.0.
Image ptx_of_image(const void* image, int capability);

}  // namespace sqf

#pragma once
// The integer product as written in matmul.hpp, one number at a time: what the vector kernels are
// held to, and what runs where there are none.

#include "format/part.hpp"
#include "runtime/cpu/quantize.hpp"

namespace sqf {

void matmul_scalar(const PartView& part, const QuantizedInput& input, int64_t tile_begin,
                   int64_t tile_end, float* y, int64_t stride);

}  // namespace sqf

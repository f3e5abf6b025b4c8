#pragma once
// Matrix times activations on the CPU, from the stored tiles (spec/encodings.md). Two forms: int8
// activations against integer codes, and f32 activations against everything. Each gives the same
// bits on every instruction set. Checks nothing: views come from a validated file.

#include <cstdint>

#include "format/part.hpp"
#include "runtime/cpu/isa.hpp"
#include "runtime/cpu/quantize.hpp"

namespace sqf {

/// Affine codes of planes of radix 256, 16, 4 and 2, with groups up to kMaxSegment or whole rows.
bool has_integer_kernel(const EncodingRecord& encoding);

/// y[token * stride + row] = sum_k W[row][k] * x[token][k] for the rows of tiles [begin, end).
/// Per segment, in ascending order, with fused multiply-adds:
///   y = fma(float(sum (code - zero) * q), scale * x_scale, y)
///   y = fma(minimum, x_scale * float(sum q), y)              zero kind minimum, code alone above
/// Rows past part.rows are not written; ranges of tiles may run on different threads.
/// Precondition: has_integer_kernel, and input shaped for part.columns and the encoding's group.
void matmul(Isa isa, const PartView& part, const QuantizedInput& input, int64_t tile_begin,
            int64_t tile_end, float* y, int64_t stride);

/// The same from f32 activations, for every encoding. Values of the real grid run at the speed
/// of memory; tiles of codes are decoded first. `add`: to what y holds.
void matmul_f32(Isa isa, const PartView& part, const float* x, int64_t tokens, int64_t x_stride,
                int64_t tile_begin, int64_t tile_end, float* y, int64_t stride, bool add = false);

}  // namespace sqf

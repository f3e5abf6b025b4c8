// Every encoding, in f32, without tensor cores: what the other kernels have no form for (radices 3
// and 5, groups of 16, f32 values, wide minifloats), and rows of the embedding. Right rather than
// fast: a value is looked up by its row and column, with divisions.

#include "cuda/kernels/tile.cuh"

namespace sqf {
namespace {

__device__ int digits_of(int radix) {
  return radix == 256 ? 1 : radix == 16 ? 2 : radix == 5 ? 3 : radix == 4 ? 4 : radix == 3 ? 5 : 8;
}

/// Columns that a group of `length` takes in a plane, its padding included.
__device__ int slots_of(int radix, int length) {
  const int step = radix == 3 || radix == 5 ? 4 * digits_of(radix) : length == 16 ? 16 : 32;
  return (length + step - 1) / step * step;
}

__device__ int code_at(const DevicePart& part, int row, int column) {
  const int group = column / part.group, inside = column % part.group;
  int code = 0, weight = 1;
  for (int p = 0; p < part.plane_count; p++) {
    const int radix = part.radices[p], per_word = 4 * digits_of(radix);
    const int64_t word =
        group * static_cast<int64_t>(slots_of(radix, part.group) / per_word) + inside / per_word;
    const int place = inside % per_word;
    int byte = part.planes[p][row / 16 * part.tile_bytes[p] + word * 64 + row % 16 * 4 + place % 4];
    byte ^= part.flip & 255;
    for (int d = 0; d < place / 4; d++) byte /= radix;
    code += byte % radix * weight;
    weight *= radix;
  }
  return code;
}

__device__ float real_at(const DevicePart& part, int row, int column) {
  const int per_word = 32 / part.bits;
  const uint8_t* word = part.planes[0] + row / 16 * part.tile_bytes[0] +
                        static_cast<int64_t>(column / per_word) * 64 + row % 16 * 4;
  if (part.bits == 32) return *reinterpret_cast<const float*>(word);
  const uint16_t half = reinterpret_cast<const uint16_t*>(word)[column % 2];
  return part.values == Values::bf16 ? __uint_as_float(static_cast<uint32_t>(half) << 16)
                                     : __half2float(__ushort_as_half(half));
}

/// Each step rounded, in the order of spec/encodings.md.
__device__ float value_at(const DevicePart& part, int row, int column) {
  if (part.scale_type == Scales::none) return real_at(part, row, column);
  const int code = code_at(part, row, column);
  const int64_t group = static_cast<int64_t>(row / 16) * part.groups + column / part.group;
  float scale = scale_at(part, group * 16 + row % 16);
  if (part.row_factors != nullptr) scale = __fmul_rn(scale, part.row_factors[row]);
  if (part.values != Values::affine) return __fmul_rn(scale, part.code_values[code]);
  if (part.zero_kind == Zeros::minimum)
    return __fadd_rn(__fmul_rn(scale, static_cast<float>(code)), minimum_at(part, group, row % 16));
  return __fmul_rn(scale, static_cast<float>(code - zero_at(part, group, row % 16)));
}

}  // namespace

extern "C" __global__ void __launch_bounds__(256) embed(const __grid_constant__ EmbedArguments a) {
  const int row = a.tokens[blockIdx.x];
  for (int k = threadIdx.x; k < a.part.columns; k += blockDim.x)
    a.x[static_cast<int64_t>(blockIdx.x) * a.part.columns + k] = value_at(a.part, row, k);
}

/// A warp makes one row for one token: grid (rows / 8, tokens).
extern "C" __global__ void __launch_bounds__(256)
    plain_f32(const __grid_constant__ MatmulArguments a) {
  const int row = blockIdx.x * 8 + threadIdx.x / 32, token = blockIdx.y, lane = threadIdx.x % 32;
  if (row >= a.part.rows) return;
  const float* x = static_cast<const float*>(a.x) + token * a.x_stride;
  float sum = 0;
  for (int k = lane; k < a.part.columns; k += 32) sum = fmaf(value_at(a.part, row, k), x[k], sum);
  for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
  if (lane != 0) return;
  if (a.bias != nullptr) sum += a.bias[row];
  float* y = a.y + token * a.y_stride + row;
  *y = a.add != 0 ? *y + sum : sum;
}

}  // namespace sqf

#pragma once
// The end of a product: what warps and blocks that share a tile's columns have is added up in
// their order, so that results are the same every time, and goes into or onto y.

#include "cuda/kernels/arguments.hpp"

namespace sqf {

/// Adds what the layer adds to every product.
__device__ inline void write_result(const MatmulArguments& a, int token, int row, float sum) {
  float* y = a.y + token * a.y_stride + row;
  if (a.x_lows != nullptr) sum = fmaf(a.x_lows[token], a.row_sums[row], sum);
  if (a.bias != nullptr) sum += a.bias[row];
  *y = a.add != 0 ? *y + sum : sum;
}

/// `results` [kDecodeWarps][tokens][kResultPitch] in shared memory.
__device__ inline void combine_results(const MatmulArguments& a, const float* results, int tile) {
  const int rows = a.part.rows, tokens = a.tokens;
  const int64_t padded = static_cast<int64_t>(gridDim.x) * 16;
  for (int i = threadIdx.x; i < tokens * 16; i += blockDim.x) {
    const int token = i / 16, lane = i % 16, row = tile * 16 + lane;
    float sum = 0;
    for (int w = 0; w < kDecodeWarps; w++)
      sum += results[(w * tokens + token) * kResultPitch + lane];
    if (gridDim.y > 1)
      a.partial[(blockIdx.y * static_cast<int64_t>(tokens) + token) * padded + row] = sum;
    else if (row < rows)
      write_result(a, token, row, sum);
  }
  if (gridDim.y == 1) return;
  __threadfence();
  __syncthreads();
  __shared__ bool last;
  if (threadIdx.x == 0) {
    last = atomicAdd(a.tickets + tile, 1u) == gridDim.y - 1;
    if (last) a.tickets[tile] = 0;
  }
  __syncthreads();
  if (!last) return;
  __threadfence();
  for (int i = threadIdx.x; i < tokens * 16; i += blockDim.x) {
    const int token = i / 16, row = tile * 16 + i % 16;
    if (row >= rows) continue;
    float sum = 0;
    for (unsigned s = 0; s < gridDim.y; s++)
      sum += __ldcg(a.partial + (s * static_cast<int64_t>(tokens) + token) * padded + row);
    write_result(a, token, row, sum);
  }
}

}  // namespace sqf

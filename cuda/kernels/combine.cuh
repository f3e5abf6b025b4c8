#pragma once
// The end of a product: what warps and blocks that share the columns of some rows have is added up
// in their order, so that results are the same every time, and goes into or onto y.

#include "cuda/kernels/arguments.hpp"

namespace sqf {

/// Adds what the layer adds to every product.
__device__ inline void write_result(const MatmulArguments& a, int token, int row, float sum) {
  float* y = a.y + token * a.y_stride + row;
  if (a.x_lows != nullptr) sum = fmaf(a.x_lows[token], a.row_sums[row], sum);
  if (a.bias != nullptr) sum += a.bias[row];
  *y = a.add != 0 ? *y + sum : sum;
}

/// `results` [shares][tokens][rows, four more] in shared memory, summed in the order of the shares,
/// then of the blocks that share the rows. `first_block` is the product's first of the launch.
template <int Rows, int Shares>
__device__ void combine_results(const MatmulArguments& a, unsigned first_block,
                                const float* results) {
  const int tokens = a.tokens, first_row = static_cast<int>(blockIdx.x - first_block) * Rows;
  float* const partial = a.partial + static_cast<int64_t>(blockIdx.x) * Rows;
  const int64_t padded = static_cast<int64_t>(gridDim.x) * Rows;
  for (int i = threadIdx.x; i < tokens * Rows; i += blockDim.x) {
    const int token = i / Rows, row = first_row + i % Rows;
    float sum = 0;
    for (int s = 0; s < Shares; s++) sum += results[(s * tokens + token) * (Rows + 4) + i % Rows];
    if (gridDim.y > 1)
      partial[(blockIdx.y * static_cast<int64_t>(tokens) + token) * padded + i % Rows] = sum;
    else if (row < a.part.rows)
      write_result(a, token, row, sum);
  }
  if (gridDim.y == 1) return;
  __threadfence();
  __syncthreads();
  __shared__ bool last;
  if (threadIdx.x == 0) {
    last = atomicAdd(a.tickets + blockIdx.x, 1u) == gridDim.y - 1;
    if (last) a.tickets[blockIdx.x] = 0;
  }
  __syncthreads();
  if (!last) return;
  __threadfence();
  for (int i = threadIdx.x; i < tokens * Rows; i += blockDim.x) {
    const int token = i / Rows, row = first_row + i % Rows;
    if (row >= a.part.rows) continue;
    float sum = 0;
    for (unsigned s = 0; s < gridDim.y; s++)
      sum += __ldcg(partial + (s * static_cast<int64_t>(tokens) + token) * padded + i % Rows);
    write_result(a, token, row, sum);
  }
}

}  // namespace sqf

// Between the projections and attention: heads normed and turned by their position, keys and values
// put into the cache as f16.

#include <cuda_fp16.h>

#include "cuda/kernels/arguments.hpp"

namespace sqf {
namespace {

__device__ float sum_of_warp(float value) {
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
  return value;
}

}  // namespace

/// A warp takes one head of one token: grid (tokens, heads + 2 kv_heads), 32 threads. Pairs are
/// (i, i + dim / 2).
extern "C" __global__ void __launch_bounds__(32) rotate(const __grid_constant__ RotateArguments a) {
  const int token = blockIdx.x, lane = threadIdx.x, half = a.dim / 2;
  const int position = *a.position + token;
  int head = blockIdx.y;
  if (head >= a.heads + a.kv_heads) {
    head -= a.heads + a.kv_heads;
    const float* v = a.v + (static_cast<int64_t>(token) * a.kv_heads + head) * a.dim;
    uint16_t* to = a.values + (static_cast<int64_t>(head) * a.context + position) * a.dim;
    for (int i = lane; i < a.dim; i += 32) to[i] = __half_as_ushort(__float2half_rn(v[i]));
    return;
  }
  const bool key = head >= a.heads;
  if (key) head -= a.heads;
  const float* from = key ? a.k + (static_cast<int64_t>(token) * a.kv_heads + head) * a.dim
                          : a.q + (static_cast<int64_t>(token) * a.heads + head) * a.dim;
  const float* weight = key ? a.k_norm : a.q_norm;
  float norm = 1;
  if (weight != nullptr) {
    float squares = 0;
    for (int i = lane; i < a.dim; i += 32) squares = fmaf(from[i], from[i], squares);
    norm = 1.0f / sqrtf(sum_of_warp(squares) / static_cast<float>(a.dim) + a.epsilon);
  }
  for (int i = lane; i < half; i += 32) {
    float first = from[i], second = from[i + half], sine, cosine;
    if (weight != nullptr) first *= norm * weight[i], second *= norm * weight[i + half];
    sincosf(static_cast<float>(position) * a.frequencies[i], &sine, &cosine);
    const float x = first * cosine - second * sine, y = second * cosine + first * sine;
    if (key) {
      uint16_t* to = a.keys + (static_cast<int64_t>(head) * a.context + position) * a.dim;
      to[i] = __half_as_ushort(__float2half_rn(x));
      to[i + half] = __half_as_ushort(__float2half_rn(y));
    } else {
      float* to = a.q + (static_cast<int64_t>(token) * a.heads + head) * a.dim;
      to[i] = x;
      to[i + half] = y;
    }
  }
}

}  // namespace sqf

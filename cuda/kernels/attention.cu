// What stands between the projections: heads normed and turned by their position, keys and values
// put into the cache as f16, and attention over the cache.

#include <cuda_fp16.h>

#include "cuda/kernels/arguments.hpp"

namespace sqf {
namespace {

__device__ float sum_of_warp(float value) {
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
  return value;
}

/// Eight f16 as f32.
__device__ void load_8(const uint16_t* from, float (&to)[8]) {
  const uint4 raw = *reinterpret_cast<const uint4*>(from);
  const uint32_t words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const float2 pair = __half22float2(*reinterpret_cast<const __half2*>(&words[i]));
    to[2 * i] = pair.x, to[2 * i + 1] = pair.y;
  }
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

/// One head of one token: grid (heads, tokens). Groups of `width` lanes, a power of two, take a
/// position each, eight numbers a lane; every group keeps a softmax of its own, joined at the end.
extern "C" __global__ void __launch_bounds__(32 * kAttentionWarps)
    attend(const __grid_constant__ AttentionArguments a) {
  __shared__ float largest[kAttentionWarps * 32], total[kAttentionWarps * 32];
  __shared__ float sums[kAttentionWarps][kMaxHeadDim];
  const int head = blockIdx.x, token = blockIdx.y, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int kv_head = head / (a.heads / a.kv_heads), positions = *a.position + token + 1;
  int width = 1;
  while (width * 8 < a.dim) width *= 2;
  const int part = lane % width, groups = kAttentionWarps * (32 / width);
  const int group = warp * (32 / width) + lane / width;
  const bool real = part * 8 < a.dim;
  const float root = 1.0f / sqrtf(static_cast<float>(a.dim));
  const int64_t at = (static_cast<int64_t>(token) * a.heads + head) * a.dim + part * 8;
  const int64_t base = static_cast<int64_t>(kv_head) * a.context * a.dim + part * 8;

  float q[8] = {}, sum[8] = {}, m = -INFINITY, l = 0;
  if (real)
    for (int i = 0; i < 8; i++) q[i] = a.q[at + i] * root;
  const int rounds = (positions + groups - 1) / groups;
  for (int round = 0; round < rounds; round++) {
    const int position = round * groups + group;
    const bool here = position < positions;
    float k[8] = {}, score = 0;
    if (here && real) load_8(a.keys + base + static_cast<int64_t>(position) * a.dim, k);
#pragma unroll
    for (int i = 0; i < 8; i++) score = fmaf(q[i], k[i], score);
    for (int step = width / 2; step > 0; step /= 2)
      score += __shfl_xor_sync(0xffffffffu, score, step);
    if (!here) continue;
    const float higher = fmaxf(m, score), keep = expf(m - higher), weight = expf(score - higher);
    float v[8] = {};
    if (real) load_8(a.values + base + static_cast<int64_t>(position) * a.dim, v);
#pragma unroll
    for (int i = 0; i < 8; i++) sum[i] = fmaf(sum[i], keep, weight * v[i]);
    l = fmaf(l, keep, weight);
    m = higher;
  }
  if (part == 0) largest[group] = m, total[group] = l;
  __syncthreads();
  float all = -INFINITY, denominator = 0;
  for (int g = 0; g < groups; g++) all = fmaxf(all, largest[g]);
  for (int g = 0; g < groups; g++) denominator += total[g] * expf(largest[g] - all);
  const float share = expf(m - all) / denominator;
  for (int i = 0; i < 8; i++) {
    float s = sum[i] * share;
    for (int step = width; step < 32; step *= 2) s += __shfl_xor_sync(0xffffffffu, s, step);
    if (lane < width && real) sums[warp][part * 8 + i] = s;
  }
  __syncthreads();
  for (int i = threadIdx.x; i < a.dim; i += 32 * kAttentionWarps) {
    float s = 0;
    for (int w = 0; w < kAttentionWarps; w++) s += sums[w][i];
    a.out[(static_cast<int64_t>(token) * a.heads + head) * a.dim + i] = s;
  }
}

}  // namespace sqf

#pragma once
// Scales and zeros of sixteen groups of a tile, on their way from the file's planes into a warp's
// shared memory: loaded in whole sectors, turned into f32 and pairs of f16 once for all runs.

#include "cuda/kernels/tile.cuh"

namespace sqf {

inline constexpr int kWindow = 16;  // groups whose scales are at hand

struct Window {
  float scales[kWindow * 16];
  union {
    uint32_t zeros[kWindow * 16];  // f16: the pair 1024 + zero; s8: the zero
    float minimums[kWindow * 16];
  };
};

/// A thread's eight rows of one group, on their way.
struct Parameters {
  float scales[8];
  uint32_t zeros[8];
};

/// Groups from `first` on, those before `end`.
template <bool Integer>
__device__ inline Parameters load_parameters(const DevicePart& part, const float* factors, int tile,
                                             int first, int end, int lane) {
  Parameters p;
  const int group = first + lane / 2, row = lane % 2 * 8;
  const bool real = group < end;
  const int64_t at = static_cast<int64_t>(tile) * part.groups + group;
#pragma unroll
  for (int i = 0; i < 8; i++) p.scales[i] = 1.0f, p.zeros[i] = 0;
  if (!real) return p;
  if (part.scale_type == Scales::u8 || part.scale_type == Scales::table) {
    const uint2 raw = *reinterpret_cast<const uint2*>(part.scales + at * 16 + row);
#pragma unroll
    for (int i = 0; i < 8; i++) {
      const uint32_t byte = ((i < 4 ? raw.x : raw.y) >> (i % 4 * 8)) & 255;
      p.scales[i] =
          part.scale_type == Scales::u8 ? static_cast<float>(byte) : part.scale_values[byte];
    }
  } else if (part.scale_type == Scales::f32) {
    const float4* from = reinterpret_cast<const float4*>(part.scales) + at * 4 + row / 4;
    const float4 a = from[0], b = from[1];
    p.scales[0] = a.x, p.scales[1] = a.y, p.scales[2] = a.z, p.scales[3] = a.w;
    p.scales[4] = b.x, p.scales[5] = b.y, p.scales[6] = b.z, p.scales[7] = b.w;
  } else if (part.scale_type != Scales::none) {
    const uint4 raw = *reinterpret_cast<const uint4*>(part.scales + (at * 16 + row) * 2);
    const uint32_t words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
    for (int i = 0; i < 8; i++) {
      const uint32_t half = words[i / 2] >> (i % 2 * 16) & 0xffff;
      p.scales[i] = part.scale_type == Scales::bf16
                        ? __uint_as_float(half << 16)
                        : __half2float(__ushort_as_half(static_cast<uint16_t>(half)));
    }
  }
  if (part.row_factors != nullptr)
#pragma unroll
    for (int i = 0; i < 8; i++) p.scales[i] *= factors[row + i];
  if (part.zero_kind == Zeros::minimum) {
    const uint4 raw = *reinterpret_cast<const uint4*>(part.zeros + (at * 16 + row) * 2);
    const uint32_t words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
    for (int i = 0; i < 8; i++) {
      const auto half = static_cast<uint16_t>(words[i / 2] >> (i % 2 * 16));
      p.zeros[i] = __float_as_uint(__half2float(__ushort_as_half(half)));
    }
    return p;
  }
  uint2 raw = {0, 0};
  if (part.zero_kind == Zeros::u8)
    raw = *reinterpret_cast<const uint2*>(part.zeros + at * 16 + row);
  if (part.zero_kind == Zeros::u4) {
    raw = *reinterpret_cast<const uint2*>(part.zeros + at * 8);
    raw = {raw.x >> (row / 2) & 0x0f0f0f0fu, raw.y >> (row / 2) & 0x0f0f0f0fu};
  }
#pragma unroll
  for (int i = 0; i < 8; i++) {
    const int zero = part.zero_kind == Zeros::constant
                         ? part.zero_constant
                         : static_cast<int>((i < 4 ? raw.x : raw.y) >> (i % 4 * 8) & 255);
    p.zeros[i] = Integer ? static_cast<uint32_t>(zero) : pair_of_zero(zero);
  }
  return p;
}

__device__ inline void store_parameters(const Parameters& p, Window* window, int lane) {
  // Halves of four in turn, so that eight threads reach all banks.
#pragma unroll
  for (int i = 0; i < 2; i++) {
    const bool second = (i ^ (lane >> 2 & 1)) != 0;
    const int at = lane * 8 + (second ? 4 : 0);
    float4 s = {p.scales[0], p.scales[1], p.scales[2], p.scales[3]};
    uint4 z = {p.zeros[0], p.zeros[1], p.zeros[2], p.zeros[3]};
    if (second) {
      s = {p.scales[4], p.scales[5], p.scales[6], p.scales[7]};
      z = {p.zeros[4], p.zeros[5], p.zeros[6], p.zeros[7]};
    }
    store_16(window->scales + at, __float_as_uint(s.x), __float_as_uint(s.y), __float_as_uint(s.z),
             __float_as_uint(s.w));
    store_16(window->zeros + at, z.x, z.y, z.z, z.w);
  }
}

}  // namespace sqf

#pragma once
// A block of the decode kernels: its warps' shares, and the sum of what they make.

#include "cuda/kernels/combine.cuh"
#include "cuda/kernels/decode.cuh"

namespace sqf {

extern __shared__ __align__(128) uint8_t decode_memory[];

/// The weights of the product that the block is for.
template <int Planes>
__device__ OwnWeights take_weights(const DecodeArguments& all) {
  const DevicePart& part = all.first.part;
  OwnWeights own = {{}, part.scales, part.zeros, part.row_factors, part.rows, 0};
#pragma unroll
  for (int p = 0; p < Planes; p++) own.planes[p] = part.planes[p];
  if constexpr (Planes > 0)  // of any planes one product is made
#pragma unroll
    for (const MoreArguments& more : all.more) {
      if (blockIdx.x < more.first_block) break;
#pragma unroll
      for (int p = 0; p < Planes; p++) own.planes[p] = more.planes[p];
      own.scales = more.scales;
      own.zeros = more.zeros;
      own.row_factors = more.row_factors;
      own.rows = more.rows;
      own.first_block = more.first_block;
    }
  return own;
}

/// Where its results go: looked up when there are some, so that meanwhile no registers have it.
__device__ inline unsigned take_results(const DecodeArguments& all, MatmulArguments* a) {
  unsigned first_block = 0;
#pragma unroll
  for (const MoreArguments& more : all.more) {
    if (blockIdx.x < more.first_block) break;
    first_block = more.first_block;
    a->part.rows = more.rows;
    a->row_sums = more.row_sums;
    a->bias = more.bias;
    a->y = more.y;
    a->y_stride = more.y_stride;
  }
  return first_block;
}

template <int Width, Values Grid, bool Integer, int Blocks, Ends End>
__device__ void decode_groups(const DecodeArguments& all, const PlanePlace* places) {
  using D = Decoder<Width, Grid, Integer, Blocks, End>;
  // What is read in every step stays read in a copy, in registers that sixteen tokens do not leave;
  // planes that are looked up by number have to stay where they are.
  constexpr bool kCopy = D::K::kFixed && Blocks == 1;
  typename Choice<kCopy, const MatmulArguments, const MatmulArguments&>::Type a = all.first;
  const OwnWeights own = take_weights<(D::K::kFixed ? D::K::kPlanes : 0)>(all);
  D d(a, own);
  const int warp = threadIdx.x / 32, team = warp / D::kTeam;
  const int last_tile = (own.rows + 15) / 16 - 1;
  d.copies.member = warp % D::kTeam;
  d.copies.tile = (static_cast<int>(blockIdx.x - own.first_block) * D::kTeam + d.copies.member) * 2;
  d.copies.idle = d.copies.tile > last_tile;
  d.copies.next_tile = min(d.copies.tile + 1, last_tile);
  d.copies.tile = min(d.copies.tile, last_tile);
  d.copies.x_rows = a.split != 0 ? 2 * a.tokens : a.tokens;
  const int weights = decode_weight_bytes(Width, a.part.bits);
  const int activations = decode_activation_bytes(Width, Integer, d.copies.x_rows);
  const uint32_t memory = shared_address(decode_memory);
  constexpr int kTeams = kDecodeWarps / D::kTeam;
  d.stage_bytes = kDecodeWarps * weights + kTeams * activations;
  d.copies.weights_at = memory + warp * weights;
  d.copies.activations_at = memory + kDecodeWarps * weights + team * activations;
  d.window = memory + D::kStages * d.stage_bytes + warp * kWindowBytes;
  d.tiles.places = places + d.lane.lane;
  d.tiles.begin(d.lane, D::kRuns);
  // A token column that stands for no token reads the last one's: nobody looks at the result. What
  // split activations have lost is in the columns of the upper four.
#pragma unroll
  for (int b = 0; b < Blocks; b++) {
    const int column = b * 8 + d.lane.g;
    const int row = a.split != 0 ? min(column % 4, a.tokens - 1) + column / 4 * a.tokens
                                 : min(column, a.tokens - 1);
    d.x_place[b] = row * D::kRunBytes + d.lane.t * 8 * D::K::kBytes;
    if (b > 0) d.x_place[b] -= d.x_place[0];
  }
  // Fewer than 2^26 steps, and at most 64 shares.
  const auto steps = static_cast<unsigned>((a.part.runs + D::kRuns - 1) / D::kRuns);
  const unsigned shares = gridDim.y * kTeams, share = blockIdx.y * kTeams + team;
  d.run(static_cast<int>(steps * share / shares), static_cast<int>(steps * (share + 1) / shares));
  wait_copies<0>();
  __syncthreads();
  constexpr int kRows = D::kTeam * kDecodeRows, kPitch = kRows + 4;
#pragma unroll
  for (int b = 0; b < Blocks; b++) {
    if (Blocks == 1 && a.split != 0)
#pragma unroll
      for (int i = 0; i < 8; i++)
        d.y[0][i / 4][i % 4] += __shfl_xor_sync(0xffffffffu, d.y[0][i / 4][i % 4], 2);
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const int token = b * 8 + 2 * d.lane.t + i;
      if (token >= a.tokens) continue;
      float scale = 1;
      if constexpr (Integer) scale = a.x_scales[token];
      float four[4] = {d.y[b][0][i], d.y[b][0][2 + i], d.y[b][1][i], d.y[b][1][2 + i]};
      if constexpr (Integer)
#pragma unroll
        for (float& v : four) v *= scale;
      store_shared_floats<0>(memory + ((team * a.tokens + token) * kPitch +
                                       d.copies.member * kDecodeRows + d.lane.g * 4) *
                                          4,
                             four);
    }
  }
  __syncthreads();
  MatmulArguments to = all.first;
  unsigned first_block = 0;
  if constexpr (D::K::kFixed) first_block = take_results(all, &to);
  combine_results<kRows, kTeams>(to, first_block, reinterpret_cast<const float*>(decode_memory));
}

template <int Width, Values Grid, bool Integer, int Blocks>
__device__ void decode_grid(const DecodeArguments& a, const PlanePlace* places) {
  // The code for whole steps is faster; where planes are many it would take registers of the
  // others.
  constexpr bool kMany = Width > 0 && plane_count_of(Width) > 1;
  if constexpr (Width != 16) {
    const DevicePart& part = a.first.part;
    if (part.groups > 1 && part.runs_per_group == 1)
      return decode_groups<Width, Grid, Integer, Blocks, Ends::every_run>(a, places);
    if (kMany || (part.groups > 1 && part.runs_per_group % 2 != 0))
      return decode_groups<Width, Grid, Integer, Blocks, Ends::any_run>(a, places);
  }
  if constexpr (!kMany) decode_groups<Width, Grid, Integer, Blocks, Ends::steps>(a, places);
}

/// Width as in decode_shape.hpp; Grid for 4 and 8 bits, the others see for themselves.
template <int Width, Values Grid, bool Integer, int Blocks>
__device__ void decode(const DecodeArguments& a) {
  const DevicePart& part = a.first.part;
  if constexpr (Width == 16) {
    if (part.values == Values::bf16)
      decode_grid<Width, Values::bf16, Integer, Blocks>(a, nullptr);
    else
      decode_grid<Width, Values::f16, Integer, Blocks>(a, nullptr);
  } else if constexpr (Width != kAnyPlanes) {
    decode_grid<Width, Grid, Integer, Blocks>(a, nullptr);
  } else {
    __shared__ PlanePlace places[kDevicePlanes * 32];
    place_planes(part, places);
    if constexpr (!Integer) {
      if (part.values == Values::table)
        return decode_grid<Width, Values::table, Integer, Blocks>(a, places);
      if (part.values == Values::minifloat)
        return decode_grid<Width, Values::minifloat, Integer, Blocks>(a, places);
    }
    decode_grid<Width, Values::affine, Integer, Blocks>(a, places);
  }
}

}  // namespace sqf

// One name for each form; the host (cuda/part_kernels.cpp) has the same.
#define SQF_DECODE(name, width, grid, integer, blocks)                    \
  extern "C" __global__ void __launch_bounds__(32 * sqf::kDecodeWarps, 2) \
      name(const __grid_constant__ sqf::DecodeArguments a) {              \
    sqf::decode<width, sqf::Values::grid, integer, blocks>(a);            \
  }

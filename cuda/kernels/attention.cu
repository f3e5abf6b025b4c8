// Attention over the cache: a block takes rows of one KV head. Positions may be split over blocks,
// the last of which joins what all have, always in the same order.

#include "cuda/kernels/attention.cuh"

namespace sqf {
namespace {

/// Largest scores and totals [row][2] of the warp's rows.
template <int Dim, bool Many>
__device__ void write_statistics(const WarpAttention<Dim, Many>& at, float* to) {
#pragma unroll
  for (int r = 0; r < 2; r++) {
    const int row = at.row_warp * 16 + at.lane.g + 8 * r;
    if (at.lane.t == 0 && row < at.tile.row_count)
      *reinterpret_cast<float2*>(to + 2 * row) = {at.largest[r], at.total[r]};
  }
}

/// The warp's sums to rows `pitch` floats apart or, where `to` is null, divided, to where results
/// are.
template <int Dim, bool Many>
__device__ void write_sums(const WarpAttention<Dim, Many>& at, float* to, int pitch) {
#pragma unroll
  for (int r = 0; r < 2; r++) {
    const int row = at.row_warp * 16 + at.lane.g + 8 * r;
    if (row >= at.tile.row_count) continue;
    const float factor = to == nullptr ? 1 / at.total[r] : 1;
    float* const out = to == nullptr ? at.a.out + at.tile.place(at.a, row) : to + row * pitch;
#pragma unroll
    for (int n = 0; n < Dim / 8; n++) {
      if (8 * n >= at.a.dim) break;
      *reinterpret_cast<float2*>(out + 8 * n + 2 * at.lane.t) = {at.sum[n][2 * r] * factor,
                                                                 at.sum[n][2 * r + 1] * factor};
    }
  }
}

template <bool Global, typename T>
__device__ T load(const T* from) {
  return Global ? __ldcg(from) : *from;
}

/// Parts of the sums of the same rows: each is measured from its own largest scores.
struct Parts {
  const float* sums;        ///< [count][kRows][pitch]
  const float* statistics;  ///< [count][kRows][2]
  int count, pitch;
};

/// The parts together, in their order, to `sums` [kRows][dim] and `statistics` [kRows][2], or,
/// where these are null, divided, to where results are. `table` [count][kRows] is shared memory.
template <bool Global, int Dim, bool Many>
__device__ void join(const WarpAttention<Dim, Many>& at, const Parts& parts, float* table,
                     float* sums, float* statistics) {
  constexpr int kRows = WarpAttention<Dim, Many>::kRows;
  const int rows = at.tile.row_count, dim = at.a.dim;
  for (int row = threadIdx.x; row < rows; row += blockDim.x) {
    float most = -INFINITY, total = 0;
    const float* statistic = parts.statistics + 2 * row;
    for (int p = 0; p < parts.count; p++)
      most = fmaxf(most, load<Global>(statistic + p * kRows * 2));
    for (int p = 0; p < parts.count; p++) {
      const float largest = load<Global>(statistic + p * kRows * 2);
      const float factor = power_of_two(largest - base_of(most));
      table[p * kRows + row] = factor;
      total = fmaf(load<Global>(statistic + p * kRows * 2 + 1), factor, total);
    }
    if (sums != nullptr)
      *reinterpret_cast<float2*>(statistics + 2 * row) = {most, total};
    else
      for (int p = 0; p < parts.count; p++) table[p * kRows + row] /= total;
  }
  __syncthreads();
  for (int row = at.warp; row < rows; row += WarpAttention<Dim, Many>::kWarps)
    for (int d = 2 * at.lane.lane; d < dim; d += 64) {
      float2 x = {0, 0};
#pragma unroll 4
      for (int p = 0; p < parts.count; p++) {
        const int64_t place = static_cast<int64_t>(p * kRows + row) * parts.pitch + d;
        const float2 part = load<Global>(reinterpret_cast<const float2*>(parts.sums + place));
        const float factor = table[p * kRows + row];
        x.x = fmaf(part.x, factor, x.x), x.y = fmaf(part.y, factor, x.y);
      }
      float* const out = sums == nullptr ? at.a.out + at.tile.place(at.a, row) : sums + row * dim;
      *reinterpret_cast<float2*>(out + d) = x;
    }
}

/// Whether all other blocks that share the rows have written theirs.
__device__ bool comes_last(uint32_t* ticket, int shares) {
  __shared__ bool last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    last = atomicAdd(ticket, 1u) == static_cast<unsigned>(shares) - 1;
    if (last) *ticket = 0;
  }
  __syncthreads();
  if (last) __threadfence();
  return last;
}

/// What the block has: the result, where it is alone; else a part of it.
template <int Dim, bool Many>
__device__ void finish(const WarpAttention<Dim, Many>& at) {
  using Shape = WarpAttention<Dim, Many>;
  const AttentionArguments& a = at.a;
  const int shares = at.tile.shares;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * gridDim.y * Shape::kRows;
  const Parts all = {a.partial + first * a.dim, a.statistics + first * 2, shares, a.dim};
  float *sums = nullptr, *statistics = nullptr;
  if (shares > 1) {
    sums = a.partial + (first + blockIdx.y * Shape::kRows) * a.dim;
    statistics = a.statistics + (first + blockIdx.y * Shape::kRows) * 2;
  }
  if constexpr (Shape::kTeams > 1) {
    float* const numbers = at.memory + Shape::kTeamRows * Shape::kPitch;
    const Parts teams = {at.memory, numbers, Shape::kTeams, Shape::kPitch};
    __syncthreads();
    write_sums(at, at.memory + at.team * Shape::kRows * Shape::kPitch, Shape::kPitch);
    write_statistics(at, numbers + at.team * Shape::kRows * 2);
    __syncthreads();
    join<false>(at, teams, numbers + Shape::kTeamRows * 2, sums, statistics);
  } else {
    write_sums(at, sums, a.dim);
    if (shares > 1) write_statistics(at, statistics);
  }
  if (shares > 1 && comes_last(a.tickets + blockIdx.x, shares))
    join<true>(at, all, at.memory, nullptr, nullptr);
}

template <int Dim, bool Many>
__device__ void attend(const AttentionArguments& a) {
  extern __shared__ __align__(128) float memory[];
  __shared__ float scales[WarpAttention<Dim, Many>::kRows];
  __shared__ uint16_t tokens[WarpAttention<Dim, Many>::kRows];
  __shared__ AttentionTile tile;
  // Two blocks on a multiprocessor: static memory is counted in 128 bytes, a block has 1 KiB more.
  constexpr int kStatic =
      (WarpAttention<Dim, Many>::kRows * 6 + sizeof(tile) + 1 + 127) / 128 * 128;
  static_assert(2 * (WarpAttention<Dim, Many>::kSharedBytes + kStatic + 1024) <= 164 * 1024);
  WarpAttention<Dim, Many> attention(a, tile, scales, tokens, memory);
  if (!attention.start()) return;
  attention.run_strips();
  finish(attention);
}

}  // namespace
}  // namespace sqf

// One name for each shape; the host (cuda/attention.cpp) makes the same names.
#define SQF_ATTEND(name, dim, many)                                                          \
  extern "C" __global__ void __launch_bounds__(sqf::attention_shape(dim, many).threads(), 2) \
      name(const __grid_constant__ sqf::AttentionArguments a) {                              \
    sqf::attend<dim, many>(a);                                                               \
  }
SQF_ATTEND(attend_64_few, 64, false)
SQF_ATTEND(attend_64_many, 64, true)
SQF_ATTEND(attend_128_few, 128, false)
SQF_ATTEND(attend_128_many, 128, true)
SQF_ATTEND(attend_256_few, 256, false)
SQF_ATTEND(attend_256_many, 256, true)

// Few tokens, bit-planes of weights and activations as they stand (narrow.cuh): the weights pass
// once, at the memory's speed. Planes of all tokens stand side by side as the columns of
// tensor-core blocks, so that one token of eight planes fills a block; what a plane counts for is
// applied where a group ends. A block of threads makes the 16 rows of one tile; its warps share the
// columns, each with a pipeline of its own, and blocks share them where there are few tiles.
//
// Shared memory: the warps' results, then for each warp its stages of (weights of a unit,
// activations of a unit) and the scales and zeros of sixteen groups.

#include "cuda/kernels/combine.cuh"
#include "cuda/kernels/narrow.cuh"

namespace sqf {
namespace {

constexpr int kSlotColumns = kBitColumns / 2;  // a unit is two slots; a group ends with a slot

constexpr int kWindow = 16;  // groups whose scales are at hand

/// Scales and zeros of a tile's groups: [group][row].
struct Window {
  float scales[kWindow * 16];
  int zeros[kWindow * 16];  // or the minimums' bits
};

static_assert(sizeof(Window) == kBitWindowBytes);

/// What a warp does, for so many blocks of eight columns.
template <int Blocks>
struct Decoder {
  const MatmulArguments& a;
  Lane lane;
  int tile, planes, x_planes, x_shift;
  int columns, padded;  // x_planes of all tokens; in eights
  int slots, slots_per_group;
  int first, end;  // units
  uint8_t* stages;
  Window* window;  // the first warp's where a group is the whole row
  float* results;  // [tokens][kResultPitch]
  int stage_bytes;
  const float* factors;  // of the tile's rows
  // What is to be copied next: bytes of a tile's plane, and the thread's first piece of
  // activations.
  int64_t fetched;
  const uint8_t* activations;
  int activation_place, filling;
  int c[Blocks][4];  // of a group, weights in the order of the planes

  __device__ explicit Decoder(const MatmulArguments& arguments) : a(arguments) {}

  /// Called with one unit after another, each into the next stage.
  __device__ void fetch(bool real) {
    if (real) {
      uint8_t* to = stages + filling;
      filling = filling + stage_bytes == a.stages * stage_bytes ? 0 : filling + stage_bytes;
      const bool inside = fetched < a.part.tile_bytes[0];
      const int64_t at = tile * a.part.tile_bytes[0] + (inside ? fetched : 0);
      const int place = unit_place(lane.lane);
      for (int p = 0; p < planes; p++)
        copy_16(to + p * kUnitBytes + place, a.part.planes[p] + at, inside);
      fetched += kUnitBytes;
      fetch_activations(to + planes * kUnitBytes);
    }
    commit_copies();
  }

  /// [half][column], 16 bytes each; a warp takes the sixteen columns of some tokens at a time.
  __device__ void fetch_activations(uint8_t* to) {
    const int64_t stride = (a.x_stride * x_planes / 8) * (16 >> x_shift);
    const uint8_t* from = activations;
    to += activation_place;
    for (int i = lane.lane; i < 2 * columns; i += 32) {
      copy_16(to, from, true);
      from += stride;
      to += 16 * 16;
    }
    activations += 2 * x_planes * 16;
  }
  /// The halves of a column are copied together and go to different banks.
  __device__ int x_place(int half, int column) const { return half * padded + (column ^ half * 4); }

  /// A unit, or one slot of it.
  template <bool Both>
  __device__ void multiply(const uint8_t* stage, int slot) {
    const auto* x = reinterpret_cast<const uint32_t*>(stage + planes * kUnitBytes);
    uint32_t xs[Blocks][2];
#pragma unroll
    for (int b = 0; b < Blocks; b++) {
      const int column = b * 8 + lane.g;
      const bool real = column < columns;
      xs[b][0] = real ? x[x_place(slot, column) * 4 + lane.t] : 0;
      if (Both) xs[b][1] = real ? x[x_place(1, column) * 4 + lane.t] : 0;
    }
    for (int p = 0; p < planes; p++) {
      uint32_t w[4];
      unit_words(stage + p * kUnitBytes, lane, slot, w);
      if (Both) unit_words(stage + p * kUnitBytes, lane, 1, w + 2);
#pragma unroll
      for (int b = 0; b < Blocks; b++) {
        int d[4] = {0, 0, 0, 0};
        if constexpr (Both)
          count_256(d, w, xs[b][0], xs[b][1]);
        else
          count_128(d, w, xs[b][0]);
#pragma unroll
        for (int i = 0; i < 4; i++) c[b][i] += d[i] << p;
      }
    }
  }

  /// The group's sums times its scales into the results. Who has the group's end also takes off
  /// what zeros add, or adds the minimums, for the whole of it.
  __device__ void finish(int group, int index, bool ends) {
    const int first = plane_factor(2 * lane.t & (x_planes - 1), x_planes);
    const int second = plane_factor((2 * lane.t + 1) & (x_planes - 1), x_planes);
    const bool minimum = a.part.zero_kind == Zeros::minimum;
#pragma unroll
    for (int b = 0; b < Blocks; b++) {
      const int token = (b * 8 + 2 * lane.t) >> x_shift;
#pragma unroll
      for (int half = 0; half < 2; half++) {
        int sum = c[b][half * 2] * first + c[b][half * 2 + 1] * second;
        c[b][half * 2] = c[b][half * 2 + 1] = 0;
        for (int step = 1; 2 * step < x_planes; step *= 2)
          sum += __shfl_xor_sync(0xffffffffu, sum, step);
        if (token >= a.tokens || (2 * lane.t & (x_planes - 1)) != 0) continue;
        const int row = lane.g + half * 8, at = index * 16 + row;
        const float x_scale = a.x_scales[token];
        float* y = results + token * kResultPitch + row;
        if (ends) {
          const int x_sum = static_cast<const int*>(
              a.x_sums)[static_cast<int64_t>(token) * a.part.groups + group];
          if (minimum)
            *y = fmaf(__int_as_float(window->zeros[at]), x_scale * static_cast<float>(x_sum), *y);
          else
            sum -= window->zeros[at] * x_sum;
        }
        *y = fmaf(static_cast<float>(sum), window->scales[at] * x_scale, *y);
      }
    }
  }

  __device__ void wait_stage() const {
    if (a.stages == 2)
      wait_copies<0>();
    else if (a.stages == 3)
      wait_copies<1>();
    else
      wait_copies<2>();
    __syncwarp();
  }

  __device__ void begin() {
    for (int i = lane.lane; i < a.tokens * kResultPitch; i += 32) results[i] = 0;
#pragma unroll
    for (int b = 0; b < Blocks; b++)
#pragma unroll
      for (int i = 0; i < 4; i++) c[b][i] = 0;
    filling = 0;
    fetched = static_cast<int64_t>(first) * kUnitBytes + lane.lane * 16;
    const int token = lane.lane >> (x_shift + 1), piece = lane.lane & (2 * x_planes - 1);
    const int half = piece >> x_shift, column = token * x_planes + (piece & (x_planes - 1));
    activations = static_cast<const uint8_t*>(a.x) + token * (a.x_stride * x_planes / 8) +
                  (static_cast<int64_t>(first) * 2 * x_planes + piece) * 16;
    activation_place = x_place(half, column) * 16;
    for (int s = 0; s < a.stages - 1; s++) fetch(first + s < end);
  }

  /// Groups from `group` on, as many as the window holds: two at a time, the first of them even in
  /// the part, so that a sector of bytes is read once.
  __device__ void load_window(int group, int groups_end) {
    __syncwarp();
    const int64_t base = static_cast<int64_t>(tile) * a.part.groups + group;
    const int entries = min(kWindow, groups_end - group) * 16;
#pragma unroll 4
    for (int i = lane.lane - static_cast<int>(base % 2) * 16; i < entries; i += 32) {
      if (i < 0) continue;
      const int row = i % 16;
      const float scale = scale_at(a.part, base * 16 + i);
      window->scales[i] = a.part.row_factors != nullptr ? scale * factors[row] : scale;
      window->zeros[i] = a.part.zero_kind == Zeros::minimum
                             ? __float_as_int(minimum_at(a.part, base + i / 16, row))
                             : zero_at(a.part, base + i / 16, row);
    }
    __syncwarp();
  }

  /// Both: every group ends with a unit.
  template <bool Both>
  __device__ void run() {
    constexpr int kWidth = Both ? 2 : 1;
    const int last = min(2 * end, slots);
    int group = 2 * first / slots_per_group, left = slots_per_group - 2 * first % slots_per_group;
    const int groups_end = (last - 1) / slots_per_group + 1;
    int window_first = group;
    if (a.part.groups > 1) load_window(group, groups_end);
    int using_stage = 0;
    for (int unit = first; unit < end; unit++) {
      wait_stage();
      fetch(unit + a.stages - 1 < end);
      const uint8_t* stage = stages + using_stage;
      using_stage =
          using_stage + stage_bytes == a.stages * stage_bytes ? 0 : using_stage + stage_bytes;
#pragma unroll
      for (int slot = 0; slot < 2; slot += kWidth) {
        const int done = 2 * unit + slot + kWidth;
        if (done - kWidth >= last) break;
        multiply<Both>(stage, slot);
        left -= kWidth;
        const bool ends = left <= 0 || done >= slots;
        if (!ends && done < last) continue;
        finish(group, group - window_first, ends);
        group++;
        left = slots_per_group;
        if (group - window_first < kWindow || group >= groups_end) continue;
        window_first = group;
        load_window(group, groups_end);
      }
      __syncwarp();
    }
  }
};

template <int Blocks>
__device__ void decode(const MatmulArguments& a) {
  extern __shared__ __align__(128) uint8_t memory[];
  __shared__ float factors[16];
  if (threadIdx.x < 16 && a.part.row_factors != nullptr)
    factors[threadIdx.x] = a.part.row_factors[blockIdx.x * 16 + threadIdx.x];
  Decoder<Blocks> d(a);
  const int warp = threadIdx.x / 32;
  d.tile = blockIdx.x;
  d.planes = a.part.plane_count;
  d.x_planes = a.x_planes;
  d.x_shift = 31 - __clz(a.x_planes);
  d.columns = a.tokens * a.x_planes;
  d.padded = (d.columns + 7) / 8 * 8;
  d.slots = (a.part.columns + kSlotColumns - 1) / kSlotColumns;
  d.slots_per_group = a.part.groups == 1 ? d.slots : a.part.group / kSlotColumns;
  d.stage_bytes = d.planes * kUnitBytes + d.padded * 32;
  d.factors = factors;
  auto* results = reinterpret_cast<float*>(memory);
  d.results = results + warp * a.tokens * kResultPitch;
  const int warp_bytes = a.stages * d.stage_bytes + static_cast<int>(sizeof(Window));
  uint8_t* const pipelines = memory + kDecodeWarps * a.tokens * kResultPitch * 4;
  d.stages = pipelines + warp * warp_bytes;
  d.window = reinterpret_cast<Window*>((a.part.groups == 1 ? pipelines : d.stages) +
                                       a.stages * d.stage_bytes);

  const int64_t units = (d.slots + 1) / 2, shares = static_cast<int64_t>(gridDim.y) * kDecodeWarps;
  const int64_t share = static_cast<int64_t>(blockIdx.y) * kDecodeWarps + warp;
  d.first = static_cast<int>(units * share / shares);
  d.end = static_cast<int>(units * (share + 1) / shares);
  d.begin();
  __syncthreads();
  if (a.part.groups == 1) {
    if (warp == 0) d.load_window(0, 1);
    __syncthreads();
  }
  if (d.first < d.end) {
    if (a.part.groups == 1 || d.slots_per_group % 2 == 0)
      d.template run<true>();
    else
      d.template run<false>();
  }
  wait_copies<0>();
  __syncthreads();
  combine_results<16, kDecodeWarps>(a, 0, results);
}

}  // namespace
}  // namespace sqf

// One name for each number of blocks; part_kernels.cpp takes the fewest that do.
#define SQF_DECODE_B1(blocks)                                              \
  extern "C" __global__ void __launch_bounds__(32 * sqf::kDecodeWarps, 2)  \
      decode_b1_##blocks(const __grid_constant__ sqf::MatmulArguments a) { \
    sqf::decode<blocks>(a);                                                \
  }
SQF_DECODE_B1(1)
SQF_DECODE_B1(2)
SQF_DECODE_B1(4)
SQF_DECODE_B1(8)

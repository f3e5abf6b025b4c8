#pragma once
// Few tokens: the weights pass once, at the memory's speed. A warp makes 32 rows, over a share of
// the columns, for up to 16 tokens, with a pipeline of its own from global memory; its team has one
// for the activations. Teams, and blocks that share rows, add up at the end.
//
// Shared memory: kStages times what all warps want of a step, their weights and then the teams'
// activations [run][row][32 columns]; then of each warp a window of scales and zeros.

#include "cuda/kernels/decode_copies.cuh"
#include "cuda/kernels/window.cuh"

namespace sqf {

/// Where groups end.
enum class Ends { every_run, steps, any_run };

/// What a warp does. Width as in decode_shape.hpp. Blocks of eight tokens.
template <int Width, Values Grid, bool Integer, int Blocks, Ends End>
struct Decoder {
  using K = DecodeConstants<Width, Integer, Blocks>;
  using C = typename Choice<Integer, int, float>::Type;
  static constexpr bool kReal = K::kReal, kEach = End == Ends::every_run;
  static constexpr bool kOffsets = !kReal && Grid == Values::affine;
  static constexpr int kRuns = K::kRuns, kStages = K::kStages, kTeam = K::kTeam;
  static constexpr int kRunBytes = K::kRunBytes;

  const MatmulArguments& a;
  const OwnWeights& own;
  Lane lane;
  Copies<Width, Integer, Blocks> copies;
  uint32_t window, stage_bytes;
  OperandReader<Width, Grid> tiles;
  int x_place[Blocks];  // in a stage
  C c[Blocks][2][4];
  C ones[Blocks][4];  // sums of the activations that c has seen
  float y[Blocks][2][4];

  __device__ Decoder(const MatmulArguments& arguments, const OwnWeights& weights)
      : a(arguments), own(weights), copies(arguments, weights), tiles{arguments.part} {}

  __device__ uint32_t after(uint32_t stage) const {
    return stage == (kStages - 1) * stage_bytes ? 0 : stage + stage_bytes;
  }

  template <int Run>
  __device__ void multiply_halves(uint32_t stage, uint32_t x, uint32_t slot) {
    const Operands o = tiles.template operands<Run>(stage);
#pragma unroll
    for (int b = 0; b < Blocks; b++) {
      uint4 v = shared_16(b == 0 ? x : x + x_place[b]);
      if constexpr (kReal)
        v = {pick_bytes<0x5410>(v.x, v.y), pick_bytes<0x7632>(v.x, v.y),
             pick_bytes<0x5410>(v.z, v.w), pick_bytes<0x7632>(v.z, v.w)};
#pragma unroll
      for (int s = 0; s < 2; s++) {
        const uint32_t* u = o.rows[2 * s];
        const uint32_t* l = o.rows[2 * s + 1];
        start_f16<kEach>(c[b][s], {u[0], l[0], u[1], l[1]}, v.x, v.y);
        start_f16<false>(c[b][s], {u[2], l[2], u[3], l[3]}, v.z, v.w);
      }
      if constexpr (kOffsets) {
        constexpr uint32_t kOne = 0x00010001u;  // as small as codes are
        start_f16<kEach>(ones[b], {kOne, kOne, kOne, kOne}, v.x, v.y);
        start_f16<false>(ones[b], {kOne, kOne, kOne, kOne}, v.z, v.w);
      }
      if constexpr (kEach) finish_block<Run>(b, slot);
    }
  }

  template <int Run>
  __device__ void multiply_bytes(uint32_t stage, uint32_t x, uint32_t slot) {
    const ByteCodes w = tiles.template codes<Run>(stage);
#pragma unroll
    for (int b = 0; b < Blocks; b++) {
      const uint2 v = shared_8(b == 0 ? x : x + x_place[b]);
      constexpr uint32_t kOne = 0x01010101u;
#pragma unroll
      for (int s = 0; s < 2; s++)
        start_s8<kEach>(c[b][s], {w.low[2 * s], w.low[2 * s + 1], w.high[2 * s], w.high[2 * s + 1]},
                        v.x, v.y);
      start_s8<kEach>(ones[b], {kOne, kOne, kOne, kOne}, v.x, v.y);
      if constexpr (kEach) finish_block<Run>(b, slot);
    }
  }

  /// `slot`: where the window has the group's scales, if it ends here.
  template <int Run>
  __device__ void multiply(uint32_t stage, uint32_t x, uint32_t slot) {
    if constexpr (Run > 0) x += copies.x_rows * kRunBytes;
    if constexpr (Integer)
      multiply_bytes<Run>(stage, x, slot);
    else
      multiply_halves<Run>(stage, x, slot);
  }

  /// The group's sums times its scales into y.
  template <int Slot>
  __device__ void finish_block(int b, uint32_t slot) {
    float scales[4], offsets[4];
    shared_floats<Slot * kGroupBytes>(slot, scales);
    if constexpr (kOffsets) shared_floats<Slot * kGroupBytes + kOffsetsAt>(slot, offsets);
    const bool minimum = Integer && a.part.zero_kind == Zeros::minimum;
#pragma unroll
    for (int i = 0; i < 8; i++) {
      const float scale = scales[i / 2];
      C sum = c[b][i / 4][i % 4];
      float& to = y[b][i / 4][i % 4];
      if constexpr (Integer) {
        if (minimum)
          to = fmaf(offsets[i / 2], static_cast<float>(ones[b][i % 2]), to);
        else
          sum += __float_as_int(offsets[i / 2]) * ones[b][i % 2];
        to = fmaf(static_cast<float>(sum), scale, to);
      } else {
        to = fmaf(scale, sum, to);
        if constexpr (kOffsets) to = fmaf(offsets[i / 2], ones[b][i % 2], to);
      }
    }
  }

  __device__ void finish(uint32_t slot) {
#pragma unroll
    for (int b = 0; b < Blocks; b++) finish_block<0>(b, slot);
    clear();
  }

  __device__ void clear() {
#pragma unroll
    for (int b = 0; b < Blocks; b++)
#pragma unroll
      for (int i = 0; i < 4; i++)
        make_zero(&c[b][0][i]), make_zero(&c[b][1][i]), make_zero(&ones[b][i]);
  }

  /// Here and nowhere earlier: as constants they would be made anew in every step.
  static __device__ void make_zero(float* v) {
    asm volatile("mov.b32 %0, 0;" : "=f"(*v));
  }
  static __device__ void make_zero(int* v) {
    asm volatile("mov.b32 %0, 0;" : "=r"(*v));
  }

  /// Until the team has the oldest stage, and nobody reads the one before any more.
  __device__ void wait() {
    wait_copies<kStages - 2>();
    asm volatile("bar.sync %0, %1;" ::"r"(1 + static_cast<int>(threadIdx.x) / (32 * kTeam)),
                 "n"(32 * kTeam)
                 : "memory");
  }

  __device__ void run(int first, int end) {
    clear();
#pragma unroll
    for (int b = 0; b < Blocks; b++)
#pragma unroll
      for (int i = 0; i < 4; i++) y[b][0][i] = 0, y[b][1][i] = 0;
    if (first >= end) return;
    copies.begin(first);
    if constexpr (kReal)
      run_values(first, end);
    else
      run_groups(first, end);
  }

  __device__ void run_values(int first, int end) {
#pragma unroll
    for (int s = 0; s < kStages - 1; s++) copies.fetch(first + s, end, s * stage_bytes);
    const uint32_t weights = copies.weights_at + tiles.words[0],
                   x = copies.activations_at + x_place[0];
    uint32_t stage = 0, before = (kStages - 1) * stage_bytes;
#pragma unroll 1
    for (int step = first; step < end; step++) {
      wait();
      copies.fetch(step + kStages - 1, end, before);
      multiply<0>(weights + stage, x + stage, 0);
      before = stage;
      stage = after(stage);
    }
#pragma unroll
    for (int b = 0; b < Blocks; b++)
#pragma unroll
      for (int i = 0; i < 4; i++) y[b][0][i] = c[b][0][i], y[b][1][i] = c[b][1][i];
  }

  __device__ void run_groups(int first, int end) {
    const int per_group = a.part.runs_per_group;
    const int group = kRuns * first / per_group;
    const int groups_end = min(a.part.groups, (kRuns * end - 1) / per_group + 1);
    // Runs of the group; the one of a whole row ends where the row does.
    const int runs = a.part.groups == 1 ? 2 << 28 : per_group;
    int left = runs - kRuns * first % per_group;
    WindowReader<Integer, kOffsets> reader(a.part, own, lane, copies.tile, copies.next_tile, window,
                                           group, groups_end, Integer ? 1.0f : tiles.unit());
#pragma unroll
    for (int s = 0; s < kStages - 1; s++) {
      if (s == 1) reader.load();
      copies.fetch(first + s, end, s * stage_bytes);
    }
    reader.store(window, lane);
    reader.load();
    const uint32_t slots = window + lane.g * 16;
    uint32_t slot = slots + group % kWindowGroups * kGroupBytes;
    const uint32_t weights = copies.weights_at + tiles.words[0],
                   x = copies.activations_at + x_place[0];
    uint32_t stage = 0, before = (kStages - 1) * stage_bytes;
    const auto turn_window = [&] {
      if (slot != slots + kWindowGroups * kGroupBytes) return;
      __syncwarp();
      slot = slots;
      reader.store(window, lane);
      reader.load();
      __syncwarp();
    };
    const auto end_runs = [&](int count) {
      left -= count;
      if (left != 0) return;
      finish(slot);
      slot += kGroupBytes;
      left = runs;
      turn_window();
    };
#pragma unroll 1
    for (int step = first; step < end; step++) {
      wait();
      copies.fetch(step + kStages - 1, end, before);
      multiply<0>(weights + stage, x + stage, slot);
      if constexpr (End == Ends::any_run) end_runs(1);
      multiply<1>(weights + stage, x + stage, slot);
      if constexpr (kEach) {
        slot += 2 * kGroupBytes;
        turn_window();
      } else {
        end_runs(End == Ends::steps ? 2 : 1);
      }
      before = stage;
      stage = after(stage);
    }
    if (!kEach && left != runs) finish(slot);
  }
};

}  // namespace sqf

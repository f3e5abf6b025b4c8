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
  static constexpr bool kReal = K::kReal, kFixed = K::kFixed, kEach = End == Ends::every_run;
  static constexpr bool kOffsets = !kReal && Grid == Values::affine;
  static constexpr bool kInOrder = kReal || Grid == Values::table;  // as Operands have it
  static constexpr int kRuns = K::kRuns, kStages = K::kStages, kTeam = K::kTeam;
  static constexpr int kPlanes = K::kPlanes, kRunBytes = K::kRunBytes;

  const MatmulArguments& a;
  const OwnWeights& own;
  Lane lane;
  Copies<Width, Integer, Blocks> copies;
  uint32_t window, stage_bytes;
  // What the lane reads, in a stage.
  int words[kPlanes], turns[kPlanes], x_place[Blocks];
  const PlanePlace* places;
  LevelBytes levels;
  C c[Blocks][2][4];
  C ones[Blocks][4];  // sums of the activations that c has seen
  float y[Blocks][2][4];

  __device__ Decoder(const MatmulArguments& arguments, const OwnWeights& weights)
      : a(arguments), own(weights), copies(arguments, weights) {}

  __device__ uint32_t after(uint32_t stage) const {
    return stage == (kStages - 1) * stage_bytes ? 0 : stage + stage_bytes;
  }

  template <int P, int Run>
  __device__ void take_plane(uint32_t stage, Operands* out) {
    constexpr int kBits = plane_bits_of(Width, P), kTo = plane_shift_of(Width, P);
    const uint32_t at = P == 0 ? stage : stage + words[P];
    if constexpr (kBits == 16) {
      const uint4 w[4] = {shared_16<0>(at), shared_16<0>(at + turns[P]), shared_16<128>(at),
                          shared_16<128>(at + turns[P])};
#pragma unroll
      for (int r = 0; r < 4; r++)
#pragma unroll
        for (int i = 0; i < 4; i++) out->rows[r][i] = words_of(w[i])[r];
      if constexpr (Grid == Values::bf16)
#pragma unroll
        for (int r = 0; r < 4; r++)
#pragma unroll
          for (int i = 0; i < 4; i++) out->rows[r][i] = half_pair(out->rows[r][i]);
    } else if constexpr (kBits == 8) {
      const auto flip = static_cast<uint32_t>(a.part.flip);
      add_bytes(shared_16<Run * 512>(at), flip, 0, out);
      add_bytes(shared_16<Run * 512>(at + turns[P]), flip, 1, out);
    } else {
      add_plane<kBits, kTo>(shared_16<Run * 64 * kBits>(at), turns[P], out);
    }
  }

  /// Codes of 4 and 8 bits that are levels or minifloats, straight from their words.
  template <int Run>
  __device__ void take_words(uint32_t at, Operands* out) {
    const uint4 w = shared_16<Run * 64 * Width>(at);
    uint4 next = {};
    if constexpr (Width == 8) next = shared_16<Run * 512>(at + turns[0]);
#pragma unroll
    for (int r = 0; r < 4; r++) {
      const uint32_t u = words_of(w)[r];
      if constexpr (Grid == Values::table) {
        look_up(u, levels, out->rows[r]);
      } else {
        const uint32_t v = Width == 4 ? u : words_of(next)[r];
        out->rows[r][0] = place_fields<0>(u, a.part), out->rows[r][1] = place_fields<8>(u, a.part);
        out->rows[r][2] = place_fields<(Width == 4 ? 4 : 0)>(v, a.part);
        out->rows[r][3] = place_fields<(Width == 4 ? 12 : 8)>(v, a.part);
      }
    }
  }

  template <int Run>
  __device__ void take_any(uint32_t stage, Operands* out) {
    const ByteCodes codes = any_codes<Run>(places, a.part.plane_count, stage);
#pragma unroll
    for (int r = 0; r < 4; r++) {
      const uint32_t low = codes.low[r], high = codes.high[r];
      if constexpr (Grid == Values::table) {
        look_up(low | high << 4, levels, out->rows[r]);
      } else if constexpr (Grid == Values::minifloat) {
        out->rows[r][0] = place_fields<0>(low, a.part);
        out->rows[r][1] = place_fields<8>(low, a.part);
        out->rows[r][2] = place_fields<0>(high, a.part);
        out->rows[r][3] = place_fields<8>(high, a.part);
      } else {
        out->rows[r][0] = low & 0x00ff00ffu, out->rows[r][1] = low >> 8 & 0x00ff00ffu;
        out->rows[r][2] = high & 0x00ff00ffu, out->rows[r][3] = high >> 8 & 0x00ff00ffu;
      }
    }
  }

  template <int Run>
  __device__ Operands operands(uint32_t stage) {
    Operands o;
    if constexpr (!kFixed) {
      take_any<Run>(stage, &o);
    } else if constexpr (Width < 16 && kPlanes == 1 &&
                         (Grid == Values::table || Grid == Values::minifloat)) {
      take_words<Run>(stage, &o);
    } else {
      take_plane<0, Run>(stage, &o);
      if constexpr (kPlanes > 1) take_plane<1, Run>(stage, &o);
      if constexpr (kPlanes > 2) take_plane<2, Run>(stage, &o);
      if constexpr (Grid == Values::minifloat)
#pragma unroll
        for (int i = 0; i < 16; i++)
          o.rows[i / 4][i % 4] = place_fields<0>(o.rows[i / 4][i % 4], a.part);
    }
    return o;
  }

  template <int Run>
  __device__ void multiply_halves(uint32_t stage, uint32_t x, uint32_t slot) {
    const Operands o = operands<Run>(stage);
#pragma unroll
    for (int b = 0; b < Blocks; b++) {
      uint4 v = shared_16(b == 0 ? x : x + x_place[b]);
      if constexpr (kInOrder)
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
    uint32_t low[4], high[4];
    if constexpr (Width == 4) {
      const uint4 w = shared_16<Run * 256>(stage);
#pragma unroll
      for (int r = 0; r < 4; r++)
        low[r] = words_of(w)[r] & 0x0f0f0f0fu, high[r] = words_of(w)[r] >> 4 & 0x0f0f0f0fu;
    } else if constexpr (Width == 8) {
      const uint4 w = shared_16<Run * 512>(stage), v = shared_16<Run * 512>(stage + turns[0]);
#pragma unroll
      for (int r = 0; r < 4; r++) low[r] = words_of(w)[r], high[r] = words_of(v)[r];
    } else {
      const ByteCodes codes = any_codes<Run>(places, a.part.plane_count, stage);
#pragma unroll
      for (int r = 0; r < 4; r++) low[r] = codes.low[r], high[r] = codes.high[r];
    }
#pragma unroll
    for (int b = 0; b < Blocks; b++) {
      const uint2 v = shared_8(b == 0 ? x : x + x_place[b]);
      constexpr uint32_t kOne = 0x01010101u;
#pragma unroll
      for (int s = 0; s < 2; s++)
        start_s8<kEach>(c[b][s], {low[2 * s], low[2 * s + 1], high[2 * s], high[2 * s + 1]}, v.x,
                        v.y);
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

  /// What a code's last place is the inverse of, where it stands in an operand.
  __device__ float unit() const {
    if (Integer || Grid == Values::table) return 1.0f;
    if (Grid == Values::affine) return 0x1p24f;
    return __half2float(__ushort_as_half(static_cast<uint16_t>(a.part.magnitude_factor)));
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
    const uint32_t weights = copies.weights_at + words[0], x = copies.activations_at + x_place[0];
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
                                           group, groups_end, unit());
#pragma unroll
    for (int s = 0; s < kStages - 1; s++) {
      if (s == 1) reader.load();
      copies.fetch(first + s, end, s * stage_bytes);
    }
    reader.store(window, lane);
    reader.load();
    const uint32_t slots = window + lane.g * 16;
    uint32_t slot = slots + group % kWindowGroups * kGroupBytes;
    const uint32_t weights = copies.weights_at + words[0], x = copies.activations_at + x_place[0];
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

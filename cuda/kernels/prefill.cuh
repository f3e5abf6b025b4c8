#pragma once
// Many tokens: a block makes 128 rows by 64 or 128 tokens, its eight warps 32 rows by 32 or 64
// tokens each. Weights come as the file has them and become operands in registers, once for all
// tokens of a warp; steps of 64 columns are in use while the next travel.
//
// A warp's 32 rows are two tiles, a lane's four stand in tensor cores as operands.cuh says.

#include "cuda/kernels/prefill_copies.cuh"

namespace sqf {

/// Scales and zeros of a step: [run][row].
struct StepParameters {
  float scales[2][kPrefillRows];
  union {
    uint32_t zeros[2][kPrefillRows];  // f16: two of it, as small as codes are; s8: the zero
    float minimums[2][kPrefillRows];
  };
};

/// What a warp does. Width as in decode_shape.hpp; tokens 8 * Blocks. Of integers, with Blocks of
/// 8, a row is one group: there are no registers for the sums of a group beside those of the row.
template <int Width, Values Grid, bool Integer, int Blocks>
struct Prefill {
  static constexpr bool kReal = Width == 16;
  static constexpr bool kGroups = Integer && Blocks == 4;           // sums of groups apart from y
  static constexpr bool kScales = !kReal && (!Integer || kGroups);  // other ones from run to run
  static constexpr bool kOffsets = !kReal && Grid == Values::affine;
  using Copies = PrefillCopies<Width, Integer, Blocks>;
  static constexpr int kBytes = Copies::kBytes, kRunBytes = Copies::kRunBytes;
  static constexpr int kXRows = Copies::kXRows;

  const MatmulArguments& a;
  Lane lane;
  Copies copies;
  int warp_row, warp_token, first_tile, first_token;
  StepParameters* parameters;
  float* factors;  // of the block's rows, what their scales are multiplied by
  OperandReader<Width, Grid> tiles;
  uint32_t weights;        // the lane's words in the first stage
  int x_place, row_place;  // its activations in a stage, and its rows
  // The thread's row and run of a step: its scale and zero on their way.
  int group_place, run_left;  // group_place: from the block's first tile
  float scale = 0;
  uint32_t zero = 0;

  // Sums of a group, and of the row. Where a row is one group, c becomes the bits of y at its end.
  int c[2][Integer ? Blocks : 1][4];
  float y[2][Integer && !kGroups ? 1 : Blocks][4];

  __device__ Prefill(const MatmulArguments& arguments, uint8_t* stages)
      : a(arguments),
        copies(arguments, stages),
        warp_row(threadIdx.x / 64),
        warp_token(threadIdx.x / 32 % 2),
        first_tile(copies.first_tile),
        first_token(copies.first_token),
        tiles{arguments.part} {}

  /// Where the lane's and the thread's shares are.
  __device__ void begin() {
    tiles.begin(lane, 2);
    weights = shared_address(copies.stages) + warp_row * copies.weight_bytes + tiles.words[0];
    x_place = shared_address(copies.stages) + kPrefillTiles / 2 * copies.weight_bytes +
              (warp_token * 8 * Blocks + lane.g) * kRunBytes + lane.t * 8 * kBytes;
    row_place = (2 * warp_row + lane.g / 4) * 16 + lane.g % 4 * 4;
    // Where planes are many there are no registers for that.
    if constexpr (Width != kAnyPlanes && plane_count_of(Width) < 3)
      settle(x_place), settle(row_place);
    const int row = threadIdx.x % kPrefillRows, tile = min(first_tile + row / 16, copies.last_tile);
    group_place = (tile - first_tile) * a.part.groups * 16 + row % 16;
    run_left = a.part.runs_per_group;
    if (kReal) return;
    float factor = Integer ? 1.0f : tiles.unit();
    if (a.part.row_factors != nullptr) factor *= a.part.row_factors[tile * 16 + row % 16];
    factors[threadIdx.x] = factor;
  }

  /// Called for one run after another, as long as there are some.
  __device__ void load(int run) {
    if (run >= a.part.runs) return;
    const int64_t first = static_cast<int64_t>(first_tile) * a.part.groups;
    const int64_t group = first + group_place / 16;
    const int row = threadIdx.x % 16;
    scale = scale_at(a.part, group * 16 + row) * factors[threadIdx.x];
    const bool minimum = a.part.zero_kind == Zeros::minimum;
    if constexpr (Integer)
      zero = minimum ? __float_as_uint(minimum_at(a.part, group, row))
                     : static_cast<uint32_t>(zero_at(a.part, group, row));
    else if constexpr (kOffsets)
      zero = minimum ? 0 : static_cast<uint32_t>(zero_at(a.part, group, row)) * 0x00010001u;
  }
  /// To the run `by` later: its group's scale is loaded where it is another.
  __device__ void advance(int run, int by) {
    run_left -= by;
    if (run_left > 0) return;
    group_place += 16, run_left += a.part.runs_per_group;
    if (run_left <= 0) group_place += 16, run_left += a.part.runs_per_group;  // groups of one run
    load(run);
  }
  __device__ void store(int step) {
    StepParameters& p = parameters[step % 2];
    p.scales[threadIdx.x / kPrefillRows][threadIdx.x % kPrefillRows] = scale;
    if constexpr (Integer || kOffsets)
      p.zeros[threadIdx.x / kPrefillRows][threadIdx.x % kPrefillRows] = zero;
  }

  // ---- what is made of it

  /// Weights before their scale, which f16 holds exactly.
  template <int Run>
  __device__ Operands halves(uint32_t words, const StepParameters& p) const {
    uint4 zeros = {};
    if constexpr (kOffsets) zeros = *reinterpret_cast<const uint4*>(&p.zeros[Run][row_place]);
    if constexpr (Width == 4 && kOffsets) return less_zeros(shared_16<Run * 256>(words), zeros);
    Operands w = tiles.template operands<Run>(words);
    if constexpr (kReal) {
#pragma unroll
      for (int i = 0; i < 8; i++) {
        uint32_t* pairs = &w.rows[i / 2][i % 2 * 2];
        const uint32_t first = pairs[0], second = pairs[1];
        pairs[0] = pick_bytes<0x5410>(first, second), pairs[1] = pick_bytes<0x7632>(first, second);
      }
    }
    if constexpr (kOffsets)
#pragma unroll
      for (int i = 0; i < 16; i++)
        w.rows[i / 4][i % 4] = pair_difference(w.rows[i / 4][i % 4], words_of(zeros)[i / 4]);
    return w;
  }

  /// Of 4 bits: the upper ones of a byte stay where they are, sixteen times as large.
  __device__ static Operands less_zeros(uint4 words, uint4 zeros) {
    Operands out;
#pragma unroll
    for (int r = 0; r < 4; r++) {
      const uint32_t w = words_of(words)[r], next = w >> 8, zero = words_of(zeros)[r];
      out.rows[r][0] = pair_difference(w & 0x000f000fu, zero);
      out.rows[r][1] = pair_difference(next & 0x000f000fu, zero);
      out.rows[r][2] = sixteenth_less(w & 0x00f000f0u, zero);
      out.rows[r][3] = sixteenth_less(next & 0x00f000f0u, zero);
    }
    return out;
  }

  template <int Run>
  __device__ void multiply(uint32_t words, uint32_t x, const StepParameters& p) {
    x += Run * kXRows * kRunBytes;
    if constexpr (Integer) {
      ByteCodes w = tiles.template codes<Run>(words);
      if constexpr (Width == 8)
      // Words as they are loaded would be moved to every product's operands anew.
#pragma unroll
        for (int r = 0; r < 4; r++) w.low[r] ^= a.part.flip, w.high[r] ^= a.part.flip;
#pragma unroll
      for (int b = 0; b < Blocks; b++) {
        const uint2 xs = shared_8(x + b * 8 * kRunBytes);
#pragma unroll
        for (int s = 0; s < 2; s++)
          multiply_s8(c[s][b], {w.low[2 * s], w.low[2 * s + 1], w.high[2 * s], w.high[2 * s + 1]},
                      xs.x, xs.y);
      }
    } else {
      const Operands w = halves<Run>(words, p);
      __syncwarp();
      float4 scales = {};
      if constexpr (!kReal) scales = *reinterpret_cast<const float4*>(&p.scales[Run][row_place]);
#pragma unroll
      for (int b = 0; b < Blocks; b++) {
        const uint4 xs = shared_16(x + b * 8 * kRunBytes);
#pragma unroll
        for (int s = 0; s < 2; s++) {
          const uint32_t* u = w.rows[2 * s];
          const uint32_t* l = w.rows[2 * s + 1];
          if constexpr (kReal) {
            multiply_f16(y[s][b], {u[0], l[0], u[1], l[1]}, xs.x, xs.y);
            multiply_f16(y[s][b], {u[2], l[2], u[3], l[3]}, xs.z, xs.w);
          } else {
            // Scaled run by run: sums of a whole group would take as many registers again.
            float d[4];
            start_f16<true>(d, {u[0], l[0], u[1], l[1]}, xs.x, xs.y);
            multiply_f16(d, {u[2], l[2], u[3], l[3]}, xs.z, xs.w);
            const float upper = s == 0 ? scales.x : scales.z, lower = s == 0 ? scales.y : scales.w;
            y[s][b][0] = fmaf(d[0], upper, y[s][b][0]);
            y[s][b][1] = fmaf(d[1], upper, y[s][b][1]);
            y[s][b][2] = fmaf(d[2], lower, y[s][b][2]);
            y[s][b][3] = fmaf(d[3], lower, y[s][b][3]);
          }
        }
      }
    }
  }

  /// Of the block's tokens, what column `i` of product b is.
  __device__ int token_of(int block, int i) const {
    const int row = warp_token * 8 * Blocks + block * 8 + i;
    return first_token + (a.split != 0 ? row % (kXRows / 2) : row);
  }
  /// Whether the warp has what its tokens' activations have lost by rounding.
  __device__ bool has_rest() const {
    return a.split != 0 && warp_token == 1;
  }

  /// The scales of integer sums at the end of a group.
  __device__ void finish(int group, int run, const StepParameters& p) {
    const bool minimum = a.part.zero_kind == Zeros::minimum;
#pragma unroll
    for (int b = 0; b < Blocks; b++) {
#pragma unroll
      for (int column = 0; column < 2; column++) {
        const int token = min(token_of(b, 2 * lane.t + column), a.tokens - 1);
        const float x_scale = a.x_scales[token];
        const int x_count =
            static_cast<const int*>(a.x_sums)[static_cast<int64_t>(token) * a.part.groups + group];
#pragma unroll
        for (int r = 0; r < 4; r++) {
          const int row = row_place + r, s = r / 2, i = r % 2 * 2 + column;
          const int before = minimum ? 0 : static_cast<int>(p.zeros[run][row]);
          float sum = kGroups ? y[s][b][i] : 0.0f;
          if (minimum) sum = fmaf(p.minimums[run][row], x_scale * static_cast<float>(x_count), sum);
          sum = fmaf(static_cast<float>(c[s][b][i] - before * x_count),
                     p.scales[run][row] * x_scale, sum);
          if constexpr (kGroups)
            y[s][b][i] = sum, c[s][b][i] = 0;
          else
            c[s][b][i] = __float_as_int(sum);
        }
      }
    }
  }

  /// f16: minimums times the sums of the activations when all else is done: in the loop there are
  /// no registers for it. Tensor cores take eight groups at a time, of which the lane has t and
  /// t + 4, and a sum as two tf32: 22 bits of it.
  __device__ void add_minimums() {
    if (a.part.zero_kind != Zeros::minimum || has_rest()) return;
    const int tile = min(first_tile + row_place / 16, copies.last_tile), groups = a.part.groups;
    const uint8_t* minimums =
        a.part.zeros + (static_cast<int64_t>(tile) * groups * 16 + row_place % 16) * 2;
#pragma unroll 1
    for (int first = lane.t; first - lane.t < groups; first += 8) {
      uint32_t rows[2][4];
      int at[2];  // groups behind the last count nothing
#pragma unroll
      for (int k = 0; k < 2; k++) {
        at[k] = min(first + 4 * k, groups - 1);
        const uint2 four = *reinterpret_cast<const uint2*>(minimums + at[k] * 32);
        const uint32_t pairs[2] = {four.x, four.y};
#pragma unroll
        for (int r = 0; r < 4; r++)
          rows[r / 2][2 * k + r % 2] =
              first + 4 * k < groups ? __float_as_uint(half_at(pairs, r)) : 0u;
      }
#pragma unroll
      for (int b = 0; b < Blocks; b++) {
        const int64_t token = min(token_of(b, lane.g), a.tokens - 1);
        const float* sums = static_cast<const float*>(a.x_sums) + token * groups;
        uint32_t high[2], low[2];
#pragma unroll
        for (int k = 0; k < 2; k++) {
          const float sum = sums[at[k]];
          high[k] = tf32_of(sum);
          low[k] = tf32_of(sum - __uint_as_float(high[k]));
        }
#pragma unroll
        for (int s = 0; s < 2; s++) {
          multiply_tf32(y[s][b], rows[s], low[0], low[1]);
          multiply_tf32(y[s][b], rows[s], high[0], high[1]);
        }
      }
    }
  }

  __device__ void run() {
#pragma unroll
    for (int s = 0; s < 2; s++)
#pragma unroll
      for (int b = 0; b < Blocks; b++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
          if constexpr (Integer) c[s][b][i] = 0;
          if constexpr (!Integer || kGroups) y[s][b][i] = 0;
        }
    begin();
    copies.begin();
    const int mine = threadIdx.x / kPrefillRows;  // the run whose scale and zero this thread loads
    if constexpr (!kReal) {
      load(0);
      if (mine == 1) advance(1, 1);
      store(0);
    }
#pragma unroll
    for (int s = 0; s < kPrefillStages - 1; s++) copies.fetch();
    int group = 0, left = a.part.runs_per_group, using_stage = 0;
    const auto end_run = [&](int at, int r, const StepParameters& p) {
      if (--left > 0 && at + 1 < a.part.runs) return;
      finish(group++, r, p);
      left = a.part.runs_per_group;
    };
#pragma unroll 1
    for (int step = 0; step < copies.steps; step++) {
      wait_copies<kPrefillStages - 2>();
      __syncthreads();
      copies.fetch();
      if constexpr (kScales) advance(2 * step + mine + 2, 2);
      const uint32_t stage = using_stage * copies.stage_bytes;
      using_stage = using_stage + 1 == kPrefillStages ? 0 : using_stage + 1;
      const StepParameters& p = parameters[step % 2];
      multiply<0>(weights + stage, x_place + stage, p);
      if constexpr (kGroups) end_run(2 * step, 0, p);
      if (2 * step + 1 < a.part.runs) {
        multiply<1>(weights + stage, x_place + stage, p);
        if constexpr (kGroups) end_run(2 * step + 1, 1, p);
      }
      if constexpr (kScales) store(step + 1);
    }
    if constexpr (!Integer) {
      if constexpr (kOffsets) add_minimums();
      if (a.split != 0) add_rest();
    } else if constexpr (!kGroups) {
      finish(0, 0, parameters[0]);
    }
    write();
  }

  /// The sums of the activations' rests to those of the activations, through shared memory.
  __device__ void add_rest() {
    wait_copies<0>();
    __syncthreads();
    float* shared =
        reinterpret_cast<float*>(copies.stages) + warp_row * 2 * Blocks * 4 * 32 + lane.lane;
    if (warp_token == 1) {
#pragma unroll
      for (int i = 0; i < 2 * Blocks * 4; i++)
        shared[i * 32] = y[i / (4 * Blocks)][i / 4 % Blocks][i % 4];
    }
    __syncthreads();
    if (warp_token == 1) return;
#pragma unroll
    for (int i = 0; i < 2 * Blocks * 4; i++)
      y[i / (4 * Blocks)][i / 4 % Blocks][i % 4] += shared[i * 32];
  }

  __device__ float result(int s, int b, int i) const {
    if constexpr (Integer && !kGroups)
      return __int_as_float(c[s][b][i]);
    else
      return y[s][b][i];
  }

  /// The lane's four rows stand side by side: 16 bytes where the rows of y begin at multiples.
  __device__ void write() const {
    if (has_rest()) return;
    const int row = first_tile * 16 + row_place;
    const bool together = row + 4 <= a.part.rows && a.y_stride % 4 == 0;
    float sums[4] = {}, bias[4] = {};
#pragma unroll
    for (int r = 0; r < 4; r++) {
      if (row + r >= a.part.rows) break;
      if (a.x_lows != nullptr) sums[r] = a.row_sums[row + r];
      if (a.bias != nullptr) bias[r] = a.bias[row + r];
    }
#pragma unroll
    for (int b = 0; b < Blocks; b++) {
#pragma unroll
      for (int column = 0; column < 2; column++) {
        const int token = token_of(b, 2 * lane.t + column);
        if (token >= a.tokens) continue;
        const float low = a.x_lows != nullptr ? a.x_lows[token] : 0.0f;
        float* to = a.y + token * a.y_stride + row;
        float v[4];
#pragma unroll
        for (int r = 0; r < 4; r++)
          v[r] = fmaf(low, sums[r], result(r / 2, b, r % 2 * 2 + column)) + bias[r];
        if (together) {
          float4 all = {v[0], v[1], v[2], v[3]};
          if (a.add != 0) {
            const float4 old = *reinterpret_cast<const float4*>(to);
            all = {old.x + v[0], old.y + v[1], old.z + v[2], old.w + v[3]};
          }
          *reinterpret_cast<float4*>(to) = all;
          continue;
        }
#pragma unroll
        for (int r = 0; r < 4; r++)
          if (row + r < a.part.rows) to[r] = a.add != 0 ? to[r] + v[r] : v[r];
      }
    }
  }
};

}  // namespace sqf

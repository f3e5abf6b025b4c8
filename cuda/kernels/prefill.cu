// Many tokens: a block makes 128 rows by 64 or 128 tokens, its eight warps 32 rows by 32 or 64
// tokens each. Weights come as the file has them and become operands in registers, once for all
// tokens of a warp; steps of 64 columns are in use while the next travel.
//
// A warp's 32 rows are two tiles. Lane (g, t) has rows 4 (g % 4) .. 4 (g % 4) + 3 of tile g / 4:
// one load of 16 bytes is a word of each. Rows 2 s and 2 s + 1 of the four are rows g and g + 8 of
// the tensor core's product s.

#include "cuda/kernels/prefill_copies.cuh"
#include "cuda/kernels/prefill_operands.cuh"

namespace sqf {
namespace {

constexpr int kTiles = kPrefillTiles;

/// Scales and zeros of a step: [run][row].
struct StepParameters {
  float scales[2][kPrefillRows];
  union {
    uint32_t zeros[2][kPrefillRows];  // f16: the pair 1024 + zero; s8: the zero
    float minimums[2][kPrefillRows];
  };
};

/// What a warp does; tokens 8 * Blocks. Of integers, with Blocks of 8, a row is one group: there
/// are no registers for the sums of a group beside those of the row.
template <int Width, bool Integer, int Blocks>
struct Product {
  static constexpr bool kReal = Width == 16;
  static constexpr bool kGroups = Integer && Blocks == 4;  // sums of groups apart from y
  using Copies = PrefillCopies<Width, Integer, Blocks>;
  static constexpr int kBytes = Copies::kBytes, kRunBytes = Copies::kRunBytes;
  static constexpr int kXRows = Copies::kXRows;

  const MatmulArguments& a;
  Lane lane;
  Copies copies;
  int warp_row, warp_token, first_tile, first_token;
  StepParameters* parameters;
  OperandReader<Width> reader;
  int x_place, row_place;  // the lane's activations in a stage, and its rows
  // The thread's row and run of a step: its scale and zero on their way.
  int group_place, run_left;  // group_place: from the block's first tile
  float factor = 1, scale = 0;
  uint32_t zero = 0;

  // Sums of a group, and of the row. Where a row is one group, c becomes the bits of y at its end.
  int c[2][Integer ? Blocks : 1][4];
  float y[2][Integer && !kGroups ? 1 : Blocks][4];

  __device__ Product(const MatmulArguments& arguments, uint8_t* stages, const uint16_t* levels)
      : a(arguments),
        copies(arguments, stages),
        warp_row(threadIdx.x / 64),
        warp_token(threadIdx.x / 32 % 2),
        first_tile(copies.first_tile),
        first_token(copies.first_token),
        reader(a.part, 2 * warp_row, copies.weight_bytes, levels) {}

  /// Where the lane's and the thread's shares are.
  __device__ void begin() {
    const int last_tile = (a.part.rows + 15) / 16 - 1;
    x_place = kTiles * copies.weight_bytes + (warp_token * 8 * Blocks + lane.g) * kRunBytes +
              lane.t * 8 * kBytes;
    row_place = (2 * warp_row + lane.g / 4) * 16 + lane.g % 4 * 4;
    settle(x_place);
    settle(row_place);
    const int row = threadIdx.x % kPrefillRows, tile = min(first_tile + row / 16, last_tile);
    group_place = (tile - first_tile) * a.part.groups * 16 + row % 16;
    run_left = a.part.runs_per_group;
    if (!kReal && a.part.row_factors != nullptr) factor = a.part.row_factors[tile * 16 + row % 16];
  }

  /// Called for one run after another, as long as there are some.
  __device__ void load(int run) {
    if (run >= a.part.runs) return;
    const int64_t first = static_cast<int64_t>(first_tile) * a.part.groups;
    const int64_t group = first + group_place / 16;
    const int row = threadIdx.x % 16;
    scale = scale_at(a.part, group * 16 + row) * factor;
    if (a.part.zero_kind == Zeros::minimum)
      zero = __float_as_uint(minimum_at(a.part, group, row));
    else if (Integer)
      zero = static_cast<uint32_t>(zero_at(a.part, group, row));
    else
      zero = pair_of_zero(zero_at(a.part, group, row));
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
    p.zeros[threadIdx.x / kPrefillRows][threadIdx.x % kPrefillRows] = zero;
  }

  // ---- what is made of it

  __device__ void multiply(const uint8_t* stage, int run, const StepParameters& p) {
    const uint8_t* x = stage + x_place + run * kXRows * kRunBytes;
    if constexpr (Integer) {
      const Operands w = reader.codes(stage, run);
#pragma unroll
      for (int b = 0; b < Blocks; b++) {
        const uint2 xs = *reinterpret_cast<const uint2*>(x + b * 8 * kRunBytes);
#pragma unroll
        for (int s = 0; s < 2; s++) {
          const uint32_t operand[4] = {w.rows[2 * s][0], w.rows[2 * s + 1][0], w.rows[2 * s][1],
                                       w.rows[2 * s + 1][1]};
          multiply_s8(c[s][b], operand, xs.x, xs.y);
        }
      }
    } else {
      uint4 zeros = {};
      if constexpr (!kReal) zeros = *reinterpret_cast<const uint4*>(&p.zeros[run][row_place]);
      const Operands w = reader.halves(stage, run, zeros);
      float4 scales = {};
      if constexpr (!kReal) scales = *reinterpret_cast<const float4*>(&p.scales[run][row_place]);
#pragma unroll
      for (int b = 0; b < Blocks; b++) {
        const uint4 xs = *reinterpret_cast<const uint4*>(x + b * 8 * kRunBytes);
#pragma unroll
        for (int s = 0; s < 2; s++) {
          const uint32_t first[4] = {w.rows[2 * s][0], w.rows[2 * s + 1][0], w.rows[2 * s][1],
                                     w.rows[2 * s + 1][1]};
          const uint32_t second[4] = {w.rows[2 * s][2], w.rows[2 * s + 1][2], w.rows[2 * s][3],
                                      w.rows[2 * s + 1][3]};
          if constexpr (kReal) {
            multiply_f16(y[s][b], first, xs.x, xs.y);
            multiply_f16(y[s][b], second, xs.z, xs.w);
          } else {
            // Scaled run by run: sums of a whole group would take as many registers again.
            float d[4];
            start_f16<true>(d, first, xs.x, xs.y);
            multiply_f16(d, second, xs.z, xs.w);
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

  /// Of the block's tokens, what the lane's columns i of product b are.
  __device__ int token_of(int block, int i) const {
    const int row = warp_token * 8 * Blocks + block * 8 + 2 * lane.t + i % 2;
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
        const int token = min(token_of(b, column), a.tokens - 1);
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

  /// f16: minimums times the sums of the activations, group by group, when all else is done: in the
  /// loop there are no registers for it.
  __device__ void add_minimums() {
    if (a.part.zero_kind != Zeros::minimum || has_rest()) return;
    const int tile = min(first_tile + row_place / 16, (a.part.rows + 15) / 16 - 1);
#pragma unroll 1
    for (int group = 0; group < a.part.groups; group++) {
      float minimums[4];
#pragma unroll
      for (int r = 0; r < 4; r++)
        minimums[r] = minimum_at(a.part, static_cast<int64_t>(tile) * a.part.groups + group,
                                 row_place % 16 + r);
#pragma unroll
      for (int b = 0; b < Blocks; b++) {
#pragma unroll
        for (int column = 0; column < 2; column++) {
          const int64_t token = min(token_of(b, column), a.tokens - 1);
          const float x_sum = static_cast<const float*>(a.x_sums)[token * a.part.groups + group];
#pragma unroll
          for (int r = 0; r < 4; r++) {
            float& sum = y[r / 2][b][r % 2 * 2 + column];
            sum = fmaf(minimums[r], x_sum, sum);
          }
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
    int mine = threadIdx.x / kPrefillRows;  // the run whose scale and zero this thread loads
    if constexpr (!kReal) {
      load(0);
      if (mine == 1) advance(1, 1);
      store(0);
    }
#pragma unroll
    for (int s = 0; s < kPrefillStages - 1; s++) copies.fetch();
    int group = 0, left = a.part.runs_per_group, using_stage = 0;
    for (int step = 0; step < copies.steps; step++) {
      wait_copies<kPrefillStages - 2>();
      __syncthreads();
      copies.fetch();
      if constexpr (!kReal) advance(mine += 2, 2);
      const uint8_t* stage = copies.stages + using_stage * copies.stage_bytes;
      using_stage = using_stage + 1 == kPrefillStages ? 0 : using_stage + 1;
      const StepParameters& p = parameters[step % 2];
#pragma unroll(Width == 0 || kReal ? 1 : 2)
      for (int r = 0; r < 2; r++) {
        const int at = 2 * step + r;
        if (at >= a.part.runs) break;
        multiply(stage, r, p);
        if constexpr (kGroups) {
          if (--left > 0 && at + 1 < a.part.runs) continue;
          finish(group++, r, p);
          left = a.part.runs_per_group;
        }
      }
      if constexpr (!kReal) store(step + 1);
    }
    if constexpr (!Integer) {
      if constexpr (!kReal) add_minimums();
      if (a.split != 0) add_rest();
    } else if constexpr (!kGroups) {
      finish(0, 0, parameters[(copies.steps - 1) % 2]);
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
        const int token = token_of(b, column);
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

template <int Width, bool Integer, int Blocks>
__device__ void prefill(const MatmulArguments& a) {
  extern __shared__ __align__(128) uint8_t memory[];
  __shared__ StepParameters parameters[Width == 16 ? 1 : 2];
  __shared__ uint16_t levels[16];
  if (Width == 0 && !Integer && a.part.values == Values::table) {
    if (threadIdx.x < 16) levels[threadIdx.x] = a.part.levels[threadIdx.x];
    __syncthreads();
  }
  Product<Width, Integer, Blocks> p(a, memory, levels);
  p.parameters = parameters;
  p.run();
}

}  // namespace
}  // namespace sqf

// One name for each form; the host's table (cuda/part_kernels.cpp) has the same. f16 operands of
// 128 tokens take more registers than two blocks on a multiprocessor have.
#define SQF_PREFILL(name, width, integer, blocks)                                  \
  extern "C" __global__ void __launch_bounds__(32 * sqf::kPrefillWarps,            \
                                               width == 16 && blocks == 8 ? 1 : 2) \
      name(const __grid_constant__ sqf::MatmulArguments a) {                       \
    sqf::prefill<width, integer, blocks>(a);                                       \
  }
SQF_PREFILL(prefill_4_f16_64, 4, false, 4)
SQF_PREFILL(prefill_4_f16_128, 4, false, 8)
SQF_PREFILL(prefill_8_f16_64, 8, false, 4)
SQF_PREFILL(prefill_8_f16_128, 8, false, 8)
SQF_PREFILL(prefill_any_f16_64, 0, false, 4)
SQF_PREFILL(prefill_any_f16_128, 0, false, 8)
SQF_PREFILL(prefill_real_f16_64, 16, false, 4)
SQF_PREFILL(prefill_real_f16_128, 16, false, 8)
SQF_PREFILL(prefill_4_s8_64, 4, true, 4)
SQF_PREFILL(prefill_4_s8_128, 4, true, 8)
SQF_PREFILL(prefill_8_s8_64, 8, true, 4)
SQF_PREFILL(prefill_8_s8_128, 8, true, 8)
SQF_PREFILL(prefill_any_s8_64, 0, true, 4)
SQF_PREFILL(prefill_any_s8_128, 0, true, 8)

// Many tokens: a block makes 128 rows by 64 tokens, its eight warps 32 by 32 each. Weights come as
// the file has them and become operands in registers; a step of 64 columns is in use while the next
// two travel.

#include "cuda/kernels/tile.cuh"

namespace sqf {
namespace {

constexpr int kStages = 3;
constexpr int kThreads = 32 * kPrefillWarps;
constexpr int kTiles = kPrefillRows / 16;  // of a block
constexpr int kWarpTiles = 2, kWarpBlocks = 4;

/// Scales and zeros of a step: [run][row].
struct StepParameters {
  float scales[2][kPrefillRows];
  union {
    uint32_t zeros[2][kPrefillRows];  // f16: the pair 1024 + zero; s8: the zero
    float minimums[2][kPrefillRows];
  };
};

template <int Width, bool Integer>
struct Product {
  static constexpr bool kReal = Width == 16;
  static constexpr int kBytes = Integer ? 1 : 2;
  static constexpr int kTokenBytes = kRunColumns * kBytes;  // of one run

  const MatmulArguments& a;
  Lane lane;
  int first_tile, first_token, warp_row, warp_token, x_rows;
  uint8_t* stages;
  StepParameters* parameters;
  int weight_bytes, stage_bytes;
  const uint16_t* levels;
  int c[kWarpTiles][kWarpBlocks][4];  // of a group; integers only
  float y[kWarpTiles][kWarpBlocks][4];

  __device__ explicit Product(const MatmulArguments& arguments) : a(arguments) {}

  __device__ int steps() const { return (a.part.runs + 1) / 2; }

  __device__ void fetch_plane(int plane, int bits, int step, uint8_t* to) {
    const int64_t at = static_cast<int64_t>(step) * 128 * bits;
    const int64_t left = a.part.tile_bytes[plane] - at;
    const int tiles = (a.part.rows + 15) / 16;
    for (int i = threadIdx.x; i < kTiles * 8 * bits; i += kThreads) {
      const int tile = i / (8 * bits), piece = i % (8 * bits);
      const bool real = piece * 16 < left && first_tile + tile < tiles;
      const uint8_t* from = a.part.planes[plane];
      if (real) from += (first_tile + tile) * a.part.tile_bytes[plane] + at + piece * 16;
      copy_16(to + tile * weight_bytes + piece_place(bits, piece) * 16, from, real);
    }
  }

  __device__ void fetch(int step) {
    if (step < steps()) {
      uint8_t* to = stages + step % kStages * stage_bytes;
      if constexpr (kReal) {
        fetch_plane(0, 16, step, to);
      } else if constexpr (Width != 0) {
        fetch_plane(0, Width, step, to);
      } else {
        for (int p = 0; p < a.part.plane_count; p++) {
          const int bits = 31 - __clz(a.part.radices[p]);
          fetch_plane(p, bits, step, to);
          to += 128 * bits;
        }
      }
      fetch_activations(step, stages + step % kStages * stage_bytes + kTiles * weight_bytes);
    }
    commit_copies();
  }

  __device__ void fetch_activations(int step, uint8_t* to) {
    constexpr int kPieces = kStepColumns * kBytes / 16, kOfRun = kPieces / 2;
    for (int i = threadIdx.x; i < x_rows * kPieces; i += kThreads) {
      const int row = i / kPieces, piece = i % kPieces, token = row % kPrefillTokens;
      const bool real = first_token + token < a.tokens;
      const uint8_t* from = static_cast<const uint8_t*>(a.x);
      if (real) {
        const int64_t at = first_token + token + (row < kPrefillTokens ? 0 : a.tokens);
        from += (at * a.x_stride + static_cast<int64_t>(step) * kStepColumns) * kBytes + piece * 16;
      }
      copy_16(to + ((piece / kOfRun * x_rows + row) * kOfRun + piece % kOfRun) * 16, from, real);
    }
  }

  /// This thread's row and run of a step: two values on their way.
  __device__ void load(int step, float* scale, uint32_t* zero) const {
    *scale = 0, *zero = 0;
    const int run = 2 * step + threadIdx.x / kPrefillRows, lane_row = threadIdx.x % kPrefillRows;
    const int row = first_tile * 16 + lane_row;
    if (run >= a.part.runs || row >= a.part.rows) return;
    const int64_t group =
        static_cast<int64_t>(row / 16) * a.part.groups + run / a.part.runs_per_group;
    *scale = scale_at(a.part, group * 16 + row % 16);
    if (a.part.row_factors != nullptr) *scale *= a.part.row_factors[row];
    if (a.part.zero_kind == Zeros::minimum)
      *zero = __float_as_uint(minimum_at(a.part, group, row % 16));
    else if (Integer)
      *zero = static_cast<uint32_t>(zero_at(a.part, group, row % 16));
    else
      *zero = pair_of_zero(zero_at(a.part, group, row % 16));
  }
  __device__ void store(int step, float scale, uint32_t zero) {
    StepParameters& p = parameters[step % 2];
    p.scales[threadIdx.x / kPrefillRows][threadIdx.x % kPrefillRows] = scale;
    p.zeros[threadIdx.x / kPrefillRows][threadIdx.x % kPrefillRows] = zero;
  }

  __device__ void multiply(int step, int run) {
    const uint8_t* stage = stages + step % kStages * stage_bytes;
    const StepParameters& p = parameters[step % 2];
    const uint8_t* x =
        stage + kTiles * weight_bytes + (run * x_rows + warp_token * 32) * kTokenBytes;
    uint32_t w[kWarpTiles][2][4];
#pragma unroll
    for (int m = 0; m < kWarpTiles; m++) {
      const int tile = warp_row * kWarpTiles + m;
      const auto* words = reinterpret_cast<const uint32_t*>(stage + tile * weight_bytes);
      if constexpr (kReal) {
        Quad u[2], v[2];
        real_quads(a.part, words, run, lane.g, lane.t, u);
        real_quads(a.part, words, run, lane.g + 8, lane.t, v);
#pragma unroll
        for (int i = 0; i < 2; i++)
          w[m][i][0] = u[i].even, w[m][i][1] = v[i].even, w[m][i][2] = u[i].odd,
          w[m][i][3] = v[i].odd;
      } else {
        const Codes cu = codes_of<Width>(a.part, words, run, lane.g, lane.t);
        const Codes cv = codes_of<Width>(a.part, words, run, lane.g + 8, lane.t);
        if constexpr (Integer) {
          w[m][0][0] = cu.low, w[m][0][1] = cv.low, w[m][0][2] = cu.high, w[m][0][3] = cv.high;
        } else {
          const bool minimum = a.part.zero_kind == Zeros::minimum;
          const uint32_t zu = minimum ? 0x64006400u : p.zeros[run][tile * 16 + lane.g];
          const uint32_t zv = minimum ? 0x64006400u : p.zeros[run][tile * 16 + lane.g + 8];
#pragma unroll
          for (int i = 0; i < 2; i++) {
            const uint32_t bu = i == 0 ? cu.low : cu.high, bv = i == 0 ? cv.low : cv.high;
            const Quad u = Width == 0 ? quad_of(a.part, bu, zu, levels) : affine_quad(bu, zu);
            const Quad v = Width == 0 ? quad_of(a.part, bv, zv, levels) : affine_quad(bv, zv);
            w[m][i][0] = u.even, w[m][i][1] = v.even, w[m][i][2] = u.odd, w[m][i][3] = v.odd;
          }
        }
      }
    }
#pragma unroll
    for (int b = 0; b < kWarpBlocks; b++) {
      const uint8_t* from = x + (b * 8 + lane.g) * kTokenBytes + lane.t * 8 * kBytes;
      if constexpr (Integer) {
        const uint2 xs = *reinterpret_cast<const uint2*>(from);
#pragma unroll
        for (int m = 0; m < kWarpTiles; m++) multiply_s8(c[m][b], w[m][0], xs.x, xs.y);
      } else {
        for (int row = 0; row < x_rows; row += kPrefillTokens)
          multiply_block(w, *reinterpret_cast<const uint4*>(from + row * kTokenBytes), b, run, p);
      }
    }
  }

  /// Eight tokens by the warp's rows. Scaled run by run: sums of a whole group would take a third
  /// of the registers.
  __device__ void multiply_block(const uint32_t (&w)[kWarpTiles][2][4], uint4 xs, int b, int run,
                                 const StepParameters& p) {
#pragma unroll
    for (int m = 0; m < kWarpTiles; m++) {
      if constexpr (kReal) {
        multiply_f16(y[m][b], w[m][0], xs.x, xs.y);
        multiply_f16(y[m][b], w[m][1], xs.z, xs.w);
      } else {
        float d[4] = {0, 0, 0, 0};
        multiply_f16(d, w[m][0], xs.x, xs.y);
        multiply_f16(d, w[m][1], xs.z, xs.w);
        const int row = (warp_row * kWarpTiles + m) * 16 + lane.g;
        const float upper = p.scales[run][row], lower = p.scales[run][row + 8];
        y[m][b][0] = fmaf(d[0], upper, y[m][b][0]);
        y[m][b][1] = fmaf(d[1], upper, y[m][b][1]);
        y[m][b][2] = fmaf(d[2], lower, y[m][b][2]);
        y[m][b][3] = fmaf(d[3], lower, y[m][b][3]);
      }
    }
  }

  __device__ int token_of(int block, int i) const {
    return first_token + warp_token * 32 + block * 8 + 2 * lane.t + i % 2;
  }

  /// What is left to do at the end of a group: the scales of integer sums, and minimums.
  __device__ void finish(int step, int run) {
    const StepParameters& p = parameters[step % 2];
    const int group = (2 * step + run) / a.part.runs_per_group;
    const bool minimum = a.part.zero_kind == Zeros::minimum;
    if (!Integer && !minimum) return;
#pragma unroll
    for (int b = 0; b < kWarpBlocks; b++) {
#pragma unroll
      for (int column = 0; column < 2; column++) {
        const int token = token_of(b, column);
        const bool real = token < a.tokens;
        const int64_t at = static_cast<int64_t>(token) * a.part.groups + group;
        float x_scale = 1, x_sum = 0;
        int x_count = 0;
        if constexpr (Integer) {
          x_scale = real ? a.x_scales[token] : 0.0f;
          x_count = real ? static_cast<const int*>(a.x_sums)[at] : 0;
          x_sum = x_scale * static_cast<float>(x_count);
        } else {
          x_sum = real ? static_cast<const float*>(a.x_sums)[at] : 0.0f;
        }
#pragma unroll
        for (int m = 0; m < kWarpTiles; m++) {
#pragma unroll
          for (int half = 0; half < 2; half++) {
            float& out = y[m][b][half * 2 + column];
            const int row = (warp_row * kWarpTiles + m) * 16 + lane.g + half * 8;
            if (minimum) out = fmaf(p.minimums[run][row], x_sum, out);
            if constexpr (Integer) {
              int& sum = c[m][b][half * 2 + column];
              const int zero = minimum ? 0 : static_cast<int>(p.zeros[run][row]);
              out =
                  fmaf(static_cast<float>(sum - zero * x_count), p.scales[run][row] * x_scale, out);
              sum = 0;
            }
          }
        }
      }
    }
  }

  __device__ void run() {
#pragma unroll
    for (int m = 0; m < kWarpTiles; m++)
#pragma unroll
      for (int b = 0; b < kWarpBlocks; b++)
#pragma unroll
        for (int i = 0; i < 4; i++) c[m][b][i] = 0, y[m][b][i] = 0;
    float scale = 0;
    uint32_t zero = 0;
    if constexpr (!kReal) {
      load(0, &scale, &zero);
      store(0, scale, zero);
    }
#pragma unroll
    for (int s = 0; s < kStages - 1; s++) fetch(s);
    int left = a.part.runs_per_group;
    for (int step = 0; step < steps(); step++) {
      wait_copies<kStages - 2>();
      __syncthreads();
      fetch(step + kStages - 1);
      if constexpr (!kReal) load(step + 1, &scale, &zero);
#pragma unroll
      for (int r = 0; r < 2; r++) {
        const int at = 2 * step + r;
        if (at >= a.part.runs) break;
        multiply(step, r);
        if constexpr (!kReal) {
          if (--left > 0 && at + 1 < a.part.runs) continue;
          finish(step, r);
          left = a.part.runs_per_group;
        }
      }
      if constexpr (!kReal) store(step + 1, scale, zero);
    }
    write();
  }

  __device__ void write() const {
#pragma unroll
    for (int m = 0; m < kWarpTiles; m++)
#pragma unroll
      for (int b = 0; b < kWarpBlocks; b++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
          const int row = (first_tile + warp_row * kWarpTiles + m) * 16 + lane.g + i / 2 * 8;
          const int token = token_of(b, i);
          if (row >= a.part.rows || token >= a.tokens) continue;
          float sum = y[m][b][i];
          if (a.x_lows != nullptr) sum = fmaf(a.x_lows[token], a.row_sums[row], sum);
          if (a.bias != nullptr) sum += a.bias[row];
          float* to = a.y + token * a.y_stride + row;
          *to = a.add != 0 ? *to + sum : sum;
        }
  }
};

template <int Width, bool Integer>
__device__ void prefill(const MatmulArguments& a) {
  extern __shared__ __align__(128) uint8_t memory[];
  __shared__ StepParameters parameters[Width == 16 ? 1 : 2];
  __shared__ uint16_t levels[16];
  if (Width == 0 && !Integer && a.part.values == Values::table) {
    if (threadIdx.x < 16) levels[threadIdx.x] = a.part.levels[threadIdx.x];
    __syncthreads();
  }
  Product<Width, Integer> p(a);
  const int warp = threadIdx.x / 32;
  p.first_tile = blockIdx.x * kTiles;
  p.first_token = blockIdx.y * kPrefillTokens;
  p.warp_row = warp / 2;
  p.warp_token = warp % 2;
  p.stages = memory;
  p.parameters = parameters;
  p.weight_bytes = 128 * a.part.bits;
  p.x_rows = a.split != 0 ? 2 * kPrefillTokens : kPrefillTokens;
  p.stage_bytes = kTiles * p.weight_bytes + p.x_rows * kStepColumns * (Integer ? 1 : 2);
  p.levels = levels;
  p.run();
}

}  // namespace
}  // namespace sqf

// One name for each form; the host's table (cuda/matmul.cpp) has the same.
#define SQF_PREFILL(name, width, integer)                                  \
  extern "C" __global__ void __launch_bounds__(32 * sqf::kPrefillWarps, 2) \
      name(const __grid_constant__ sqf::MatmulArguments a) {               \
    sqf::prefill<width, integer>(a);                                       \
  }
SQF_PREFILL(prefill_4_f16, 4, false)
SQF_PREFILL(prefill_8_f16, 8, false)
SQF_PREFILL(prefill_any_f16, 0, false)
SQF_PREFILL(prefill_4_s8, 4, true)
SQF_PREFILL(prefill_8_s8, 8, true)
SQF_PREFILL(prefill_any_s8, 0, true)
SQF_PREFILL(prefill_real_f16, 16, false)

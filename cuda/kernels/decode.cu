// Few tokens: the weights pass once, at the memory's speed. A block makes the 16 rows of one tile
// for up to 16 tokens; its warps share the columns, each with a pipeline of its own from global
// memory, and add up at the end. Where there are few tiles, blocks share the columns too.
//
// Shared memory of a warp: kStages of (weights of a step, activations of a step), then scales and
// zeros of sixteen groups as f32 and pairs.

#include "cuda/kernels/window.cuh"

namespace sqf {
namespace {

constexpr int kTokenPitch = 20;  // floats from token to token of a result: no bank twice

template <bool Integer>
struct Sum {
  using Type = float;
};
template <>
struct Sum<true> {
  using Type = int;
};

/// What a warp does. Width as in codes_of(); 16: real values. Blocks of eight tokens.
template <int Width, bool Integer, int Blocks, int Stages>
struct Decoder {
  using C = typename Sum<Integer>::Type;
  static constexpr bool kReal = Width == 16;
  static constexpr int kBytes = Integer ? 1 : 2;  // of an activation
  // A warp's lanes copy, from the lowest bits on: a run's pieces, some tokens, two runs.
  static constexpr int kOfRun = kRunColumns * kBytes / 16, kTokensAtOnce = 16 / kOfRun;

  const MatmulArguments& a;
  Lane lane;
  int tile, tokens, x_rows;  // x_rows: of the activations, twice the tokens where they are split
  // What is to be copied next.
  const uint8_t *weights, *activations;
  int64_t weights_left;
  int fetched, filling, weight_place, activation_place;
  uint8_t* stages;
  Window* window;
  int weight_bytes, stage_bytes;
  const uint16_t* levels;
  const float* factors;  // of the tile's rows
  C c[Blocks][4];
  C ones[Blocks][4];  // sums of the activations that c has seen: what zeros and minimums multiply
  float y[Blocks][4];

  __device__ explicit Decoder(const MatmulArguments& arguments) : a(arguments) {}

  /// Called with one step after another, each into the next stage.
  __device__ void fetch(bool real) {
    if (real) {
      uint8_t* to = stages + filling * stage_bytes;
      if constexpr (kReal) {
        fetch_plane<16>(to);
      } else if constexpr (Width != 0) {
        fetch_plane<Width>(to);
      } else {
        uint8_t* plane = to;
        for (int p = 0; p < a.part.plane_count; p++) {
          const int bits = 31 - __clz(a.part.radices[p]);
          const int64_t at = static_cast<int64_t>(fetched) * 128 * bits;
          fetch_pieces(a.part.planes[p] + tile * a.part.tile_bytes[p] + at,
                       a.part.tile_bytes[p] - at, bits, plane);
          plane += 128 * bits;
        }
      }
      fetch_activations(to + weight_bytes);
      fetched++;
      filling = filling + 1 == Stages ? 0 : filling + 1;
    }
    commit_copies();
  }

  /// A thread's pieces of a plane are 512 bytes apart, eight lines: those of 16 bits, of which a
  /// run has sixteen, have their halves traded in every second.
  template <int Bits>
  __device__ void fetch_plane(uint8_t* to) {
#pragma unroll
    for (int i = 0; i < Bits / 4; i++) {
      const bool real = lane.lane * 16 + i * 512 < weights_left;
      const int place = weight_place ^ (Bits == 16 && i % 2 == 1 ? 32 : 0);
      copy_16(to + place + i * 512, real ? weights + i * 512 : weights, real);
    }
    weights += 128 * Bits;
    weights_left -= 128 * Bits;
  }

  __device__ void fetch_pieces(const uint8_t* from, int64_t left, int bits, uint8_t* to) {
    for (int i = lane.lane; i < 8 * bits; i += 32) {
      const bool real = i * 16 < left;
      copy_16(to + piece_place(bits, i) * 16, real ? from + i * 16 : from, real);
    }
  }

  /// [run][token][32 columns], zeros behind the columns as in memory.
  __device__ void fetch_activations(uint8_t* to) {
    const uint8_t* from = activations;
    to += activation_place;
#pragma unroll 1
    for (int token = lane.lane / kOfRun % kTokensAtOnce; token < x_rows; token += kTokensAtOnce) {
      copy_16(to, from, true);
      from += kTokensAtOnce * a.x_stride * kBytes;
      to += kTokensAtOnce * kRunColumns * kBytes;
    }
    activations += kStepColumns * kBytes;
  }

  /// Where the thread's copies of the first step come from and go.
  __device__ void begin(int first) {
    fetched = first;
    filling = 0;
    const int piece = lane.lane % kOfRun, token = lane.lane / kOfRun % kTokensAtOnce;
    const int run = lane.lane / 16;
    activations =
        static_cast<const uint8_t*>(a.x) +
        (token * a.x_stride + static_cast<int64_t>(first) * kStepColumns + run * kRunColumns) *
            kBytes +
        piece * 16;
    activation_place = ((run * x_rows + token) * kOfRun + piece) * 16;
    if constexpr (Width != 0) {
      const int64_t at = static_cast<int64_t>(first) * 128 * Width;
      weights = a.part.planes[0] + tile * a.part.tile_bytes[0] + at + lane.lane * 16;
      weights_left = a.part.tile_bytes[0] - at;
      weight_place = piece_place(Width, lane.lane) * 16;
    }
  }

  __device__ void multiply(const uint8_t* stage, int run, int slot) {
    const auto* words = reinterpret_cast<const uint32_t*>(stage);
    const uint8_t* x = stage + weight_bytes + run * x_rows * kRunColumns * kBytes;
    if constexpr (Integer) {
      const Codes u = codes_of<Width>(a.part, words, run, lane.g, lane.t);
      const Codes v = codes_of<Width>(a.part, words, run, lane.g + 8, lane.t);
      const uint32_t w[4] = {u.low, v.low, u.high, v.high};
#pragma unroll
      for (int b = 0; b < Blocks; b++) {
        uint2 xs = {0, 0};
        if (b * 8 + lane.g < tokens)
          xs = *reinterpret_cast<const uint2*>(x + (b * 8 + lane.g) * 32 + lane.t * 8);
        const uint32_t one[4] = {0x01010101u, 0x01010101u, 0x01010101u, 0x01010101u};
        multiply_s8(c[b], w, xs.x, xs.y);
        multiply_s8(ones[b], one, xs.x, xs.y);
      }
    } else {
      Quad u[2], v[2];
      if constexpr (kReal) {
        real_quads(a.part, words, run, lane.g, lane.t, u);
        real_quads(a.part, words, run, lane.g + 8, lane.t, v);
      } else {
        const Codes cu = codes_of<Width>(a.part, words, run, lane.g, lane.t);
        const Codes cv = codes_of<Width>(a.part, words, run, lane.g + 8, lane.t);
        const bool minimum = a.part.zero_kind == Zeros::minimum;
        const uint32_t zu = minimum ? 0x64006400u : window->zeros[slot * 16 + lane.g];
        const uint32_t zv = minimum ? 0x64006400u : window->zeros[slot * 16 + lane.g + 8];
        if constexpr (Width == 0) {
          u[0] = quad_of(a.part, cu.low, zu, levels), u[1] = quad_of(a.part, cu.high, zu, levels);
          v[0] = quad_of(a.part, cv.low, zv, levels), v[1] = quad_of(a.part, cv.high, zv, levels);
        } else {
          u[0] = affine_quad(cu.low, zu), u[1] = affine_quad(cu.high, zu);
          v[0] = affine_quad(cv.low, zv), v[1] = affine_quad(cv.high, zv);
        }
      }
#pragma unroll
      for (int b = 0; b < Blocks; b++) {
        const uint32_t first[4] = {u[0].even, v[0].even, u[0].odd, v[0].odd};
        const uint32_t second[4] = {u[1].even, v[1].even, u[1].odd, v[1].odd};
        const uint32_t one[4] = {0x3c003c00u, 0x3c003c00u, 0x3c003c00u, 0x3c003c00u};
        const bool minimum = !kReal && a.part.zero_kind == Zeros::minimum;
        const int token = b * 8 + lane.g;
        for (int rows = 0; rows < x_rows; rows += tokens) {
          uint4 xs = {0, 0, 0, 0};
          if (token < tokens)
            xs = *reinterpret_cast<const uint4*>(x + (rows + token) * 64 + lane.t * 16);
          multiply_f16(c[b], first, xs.x, xs.y);
          multiply_f16(c[b], second, xs.z, xs.w);
          if (!minimum) continue;
          multiply_f16(ones[b], one, xs.x, xs.y);
          multiply_f16(ones[b], one, xs.z, xs.w);
        }
      }
    }
  }

  /// The group's sums times its scales into y.
  __device__ void finish(int slot) {
#pragma unroll
    for (int b = 0; b < Blocks; b++) {
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int row = lane.g + i / 2 * 8, token = b * 8 + 2 * lane.t + i % 2;
        if constexpr (kReal) {
          y[b][i] += c[b][i];
        } else {
          const float scale = window->scales[slot * 16 + row];
          const bool minimum = a.part.zero_kind == Zeros::minimum;
          float x_scale = 1;
          if constexpr (Integer) x_scale = token < tokens ? a.x_scales[token] : 0.0f;
          C sum = c[b][i];
          if (minimum)
            y[b][i] = fmaf(window->minimums[slot * 16 + row],
                           x_scale * static_cast<float>(ones[b][i % 2]), y[b][i]);
          if constexpr (Integer)
            if (!minimum) sum -= static_cast<int>(window->zeros[slot * 16 + row]) * ones[b][i % 2];
          y[b][i] = fmaf(static_cast<float>(sum), scale * x_scale, y[b][i]);
        }
        c[b][i] = 0;
      }
#pragma unroll
      for (int i = 0; i < 4; i++) ones[b][i] = 0;
    }
  }

  __device__ void run(int first, int end) {
#pragma unroll
    for (int b = 0; b < Blocks; b++)
#pragma unroll
      for (int i = 0; i < 4; i++) c[b][i] = 0, ones[b][i] = 0, y[b][i] = 0;
    if (first >= end) return;
    begin(first);
    int group = kReal ? 0 : 2 * first / a.part.runs_per_group;
    int left = kReal ? a.part.runs : a.part.runs_per_group - 2 * first % a.part.runs_per_group;
    int window_first = group;
    const int groups_end =
        kReal ? 0 : min(a.part.groups, (2 * end - 1) / a.part.runs_per_group + 1);
    Parameters next;
    if constexpr (!kReal)
      next = load_parameters<Integer>(a.part, factors, tile, window_first, groups_end, lane.lane);
#pragma unroll
    for (int s = 0; s < Stages - 1; s++) fetch(first + s < end);
    if constexpr (!kReal) {
      store_parameters(next, window, lane.lane);
      next = load_parameters<Integer>(a.part, factors, tile, window_first + kWindow, groups_end,
                                      lane.lane);
    }
    bool pending = false;
    int using_stage = 0;
    for (int step = first; step < end; step++) {
      wait_copies<Stages - 2>();
      __syncwarp();
      fetch(step + Stages - 1 < end);
      const uint8_t* stage = stages + using_stage * stage_bytes;
      using_stage = using_stage + 1 == Stages ? 0 : using_stage + 1;
#pragma unroll
      for (int r = 0; r < 2; r++) {
        if (2 * step + r >= a.part.runs) break;
        multiply(stage, r, group - window_first);
        pending = true;
        if (--left > 0) continue;
        finish(group - window_first);
        pending = false;
        group++;
        left = a.part.runs_per_group;
        if constexpr (!kReal) {
          if (group - window_first < kWindow || group >= a.part.groups) continue;
          __syncwarp();
          window_first = group;
          store_parameters(next, window, lane.lane);
          next = load_parameters<Integer>(a.part, factors, tile, window_first + kWindow, groups_end,
                                          lane.lane);
          __syncwarp();
        }
      }
      __syncwarp();
    }
    if (pending) finish(group - window_first);
  }
};

/// Adds what the block has to the row's other ends and to what the layer adds to every product.
__device__ void write_result(const MatmulArguments& a, int token, int row, float sum) {
  float* y = a.y + token * a.y_stride + row;
  if (a.x_lows != nullptr) sum = fmaf(a.x_lows[token], a.row_sums[row], sum);
  if (a.bias != nullptr) sum += a.bias[row];
  *y = a.add != 0 ? *y + sum : sum;
}

/// `results` [warps][tokens][kTokenPitch] in shared memory, summed in the order of the warps, then
/// of the blocks that share the tile.
__device__ void combine(const MatmulArguments& a, const float* results, int tile) {
  const int rows = a.part.rows, tokens = a.tokens;
  const int64_t padded = static_cast<int64_t>(gridDim.x) * 16;
  for (int i = threadIdx.x; i < tokens * 16; i += blockDim.x) {
    const int token = i / 16, lane = i % 16, row = tile * 16 + lane;
    float sum = 0;
    for (int w = 0; w < kDecodeWarps; w++)
      sum += results[(w * tokens + token) * kTokenPitch + lane];
    if (gridDim.y > 1)
      a.partial[(blockIdx.y * static_cast<int64_t>(tokens) + token) * padded + row] = sum;
    else if (row < rows)
      write_result(a, token, row, sum);
  }
  if (gridDim.y == 1) return;
  __threadfence();
  __syncthreads();
  __shared__ bool last;
  if (threadIdx.x == 0) {
    last = atomicAdd(a.tickets + tile, 1u) == gridDim.y - 1;
    if (last) a.tickets[tile] = 0;
  }
  __syncthreads();
  if (!last) return;
  __threadfence();
  for (int i = threadIdx.x; i < tokens * 16; i += blockDim.x) {
    const int token = i / 16, row = tile * 16 + i % 16;
    if (row >= rows) continue;
    float sum = 0;
    for (unsigned s = 0; s < gridDim.y; s++)
      sum += __ldcg(a.partial + (s * static_cast<int64_t>(tokens) + token) * padded + row);
    write_result(a, token, row, sum);
  }
}

template <int Width, bool Integer, int Blocks, int Stages>
__device__ void decode(const MatmulArguments& a) {
  extern __shared__ __align__(128) uint8_t memory[];
  __shared__ uint16_t levels[16];
  __shared__ float factors[16];
  if (Width != 16 && threadIdx.x < 16) {
    if (Width == 0 && !Integer && a.part.values == Values::table)
      levels[threadIdx.x] = a.part.levels[threadIdx.x];
    if (a.part.row_factors != nullptr)
      factors[threadIdx.x] = a.part.row_factors[blockIdx.x * 16 + threadIdx.x];
  }
  if (Width != 16) __syncthreads();
  Decoder<Width, Integer, Blocks, Stages> d(a);
  const int warp = threadIdx.x / 32;
  d.tile = blockIdx.x;
  d.tokens = a.tokens;
  d.x_rows = a.split != 0 ? 2 * a.tokens : a.tokens;
  d.weight_bytes = 128 * a.part.bits;
  d.stage_bytes = d.weight_bytes + d.x_rows * kStepColumns * (Integer ? 1 : 2);
  const int warp_bytes =
      Stages * d.stage_bytes + (Width == 16 ? 0 : static_cast<int>(sizeof(Window)));
  d.stages = memory + warp * warp_bytes;
  d.window = reinterpret_cast<Window*>(d.stages + Stages * d.stage_bytes);
  d.levels = levels;
  d.factors = factors;

  const int64_t steps = (a.part.runs + 1) / 2,
                shares = static_cast<int64_t>(gridDim.y) * kDecodeWarps;
  const int64_t share = static_cast<int64_t>(blockIdx.y) * kDecodeWarps + warp;
  d.run(static_cast<int>(steps * share / shares), static_cast<int>(steps * (share + 1) / shares));

  wait_copies<0>();
  __syncthreads();
  auto* results = reinterpret_cast<float*>(memory);
#pragma unroll
  for (int b = 0; b < Blocks; b++)
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int token = b * 8 + 2 * d.lane.t + i % 2;
      if (token < a.tokens)
        results[(warp * a.tokens + token) * kTokenPitch + d.lane.g + i / 2 * 8] = d.y[b][i];
    }
  __syncthreads();
  combine(a, results, d.tile);
}

}  // namespace
}  // namespace sqf

// One name for each form; the host's table (cuda/matmul.cpp) has the same.
#define SQF_DECODE(name, width, integer, blocks, stages)                  \
  extern "C" __global__ void __launch_bounds__(32 * sqf::kDecodeWarps, 2) \
      name(const __grid_constant__ sqf::MatmulArguments a) {              \
    sqf::decode<width, integer, blocks, stages>(a);                       \
  }
SQF_DECODE(decode_4_f16_8, 4, false, 1, 4)
SQF_DECODE(decode_4_f16_16, 4, false, 2, 3)
SQF_DECODE(decode_8_f16_8, 8, false, 1, 4)
SQF_DECODE(decode_8_f16_16, 8, false, 2, 3)
SQF_DECODE(decode_any_f16_8, 0, false, 1, 4)
SQF_DECODE(decode_any_f16_16, 0, false, 2, 3)
SQF_DECODE(decode_4_s8_8, 4, true, 1, 4)
SQF_DECODE(decode_4_s8_16, 4, true, 2, 3)
SQF_DECODE(decode_8_s8_8, 8, true, 1, 4)
SQF_DECODE(decode_8_s8_16, 8, true, 2, 3)
SQF_DECODE(decode_any_s8_8, 0, true, 1, 4)
SQF_DECODE(decode_any_s8_16, 0, true, 2, 3)
SQF_DECODE(decode_real_f16_8, 16, false, 1, 3)
SQF_DECODE(decode_real_f16_16, 16, false, 2, 3)

// Many tokens, codes of 4 bits or bit-planes as they stand (narrow.cuh): a block makes 128 rows by
// 64 tokens, its eight warps 32 by 32 each. Nothing is unpacked. A step is two *slots* of 64
// columns of 4 bits or 128 of one; a group ends with a slot.

#include "cuda/kernels/combine.cuh"
#include "cuda/kernels/narrow.cuh"

namespace sqf {
namespace {

constexpr int kThreads = 32 * kPrefillWarps;
constexpr int kTiles = kPrefillRows / 16;  // of a block
constexpr int kWarpTiles = 2, kWarpBlocks = 4;

/// Scales and zeros of a step: [slot][row].
struct StepParameters {
  float scales[2][kPrefillRows];
  union {
    int zeros[2][kPrefillRows];
    float minimums[2][kPrefillRows];
  };
};

template <bool Bits>
struct Product {
  static constexpr int kUnits = Bits ? 1 : 2;  // of a step
  static constexpr int kSlotColumns = Bits ? kBitColumns / 2 : kNibbleColumns / 2;

  const MatmulArguments& a;
  Lane lane;
  int first_tile, first_token, warp_row, warp_token;
  int slots, slots_per_group;
  uint8_t* stages;
  StepParameters* parameters;
  int stage_bytes;
  int c[kWarpTiles][kWarpBlocks][4];  // of a group
  float y[kWarpTiles][kWarpBlocks][4];

  __device__ explicit Product(const MatmulArguments& arguments) : a(arguments) {}

  __device__ int steps() const { return (slots + 1) / 2; }
  __device__ int planes() const { return Bits ? a.part.plane_count : 1; }
  __device__ int x_planes() const { return Bits ? a.x_planes : 1; }
  /// 16 bytes each, of a token in a step.
  __device__ int x_pieces() const { return 2 * kUnits * x_planes(); }
  /// Of a tile in a step.
  __device__ int weight_bytes() const { return planes() * kUnits * kUnitBytes; }

  __device__ void fetch(int step) {
    if (step < steps()) {
      uint8_t* to = stages + step % kPrefillStages * stage_bytes;
      for (int p = 0; p < planes(); p++) fetch_plane(p, step, to + p * kUnits * kUnitBytes);
      fetch_activations(step, to + kTiles * weight_bytes());
    }
    commit_copies();
  }

  __device__ void fetch_plane(int plane, int step, uint8_t* to) {
    constexpr int kPieces = kUnits * 32;
    const int64_t at = static_cast<int64_t>(step) * kUnits * kUnitBytes;
    const int64_t left = a.part.tile_bytes[plane] - at;
    const int tiles = (a.part.rows + 15) / 16;
#pragma unroll
    for (int i = threadIdx.x; i < kTiles * kPieces; i += kThreads) {
      const int tile = i / kPieces, piece = i % kPieces;
      const bool real = piece * 16 < left && first_tile + tile < tiles;
      const uint8_t* from = a.part.planes[plane];
      if (real) from += (first_tile + tile) * a.part.tile_bytes[plane] + at + piece * 16;
      copy_16(to + tile * weight_bytes() + unit_place(piece), from, real);
    }
  }

  /// [half][plane][token], 16 bytes each. Two that follow each other in memory, a sector, go to
  /// places four tokens apart: other banks.
  __device__ void fetch_activations(int step, uint8_t* to) {
    const int64_t row_bytes = a.x_stride * (Bits ? x_planes() : 4) / 8;
    for (int i = threadIdx.x; i < kPrefillTokens * x_pieces(); i += kThreads) {
      const int token = i / 2 % kPrefillTokens, piece = i % 2 + i / (2 * kPrefillTokens) * 2;
      const bool real = first_token + token < a.tokens;
      const uint8_t* from = static_cast<const uint8_t*>(a.x);
      if (real)
        from += (first_token + token) * row_bytes +
                (static_cast<int64_t>(step) * x_pieces() + piece) * 16;
      copy_16(to + x_place(piece, token) * 16, from, real);
    }
  }
  __device__ static int x_place(int piece, int token) {
    return piece * kPrefillTokens + (token ^ piece % 2 * 4);
  }

  __device__ bool ends(int slot) const {
    return (slot + 1) % slots_per_group == 0 || slot + 1 == slots;
  }

  /// This thread's row and slot of a step, where a group ends: two values on their way.
  __device__ void load(int step, float* scale, int* zero) const {
    *scale = 0, *zero = 0;
    const int slot = 2 * step + threadIdx.x / kPrefillRows;
    const int row = first_tile * 16 + threadIdx.x % kPrefillRows;
    if (slot >= slots || row >= a.part.rows || !ends(slot)) return;
    const int64_t group = static_cast<int64_t>(row / 16) * a.part.groups + slot / slots_per_group;
    *scale = scale_at(a.part, group * 16 + row % 16);
    if (a.part.row_factors != nullptr) *scale *= a.part.row_factors[row];
    *zero = a.part.zero_kind == Zeros::minimum ? __float_as_int(minimum_at(a.part, group, row % 16))
                                               : zero_at(a.part, group, row % 16);
  }
  __device__ void store(int step, float scale, int zero) {
    StepParameters& p = parameters[step % 2];
    p.scales[threadIdx.x / kPrefillRows][threadIdx.x % kPrefillRows] = scale;
    p.zeros[threadIdx.x / kPrefillRows][threadIdx.x % kPrefillRows] = zero;
  }

  /// A slot, or with Both the two bits' slots of a step, by every pair of planes.
  template <bool Both>
  __device__ void multiply(int step, int slot) {
    const uint8_t* stage = stages + step % kPrefillStages * stage_bytes;
    const auto* x = reinterpret_cast<const uint32_t*>(stage + kTiles * weight_bytes());
#pragma unroll 1
    for (int q = 0; q < x_planes(); q++) {
      const int low = Bits ? slot * x_planes() + q : 2 * slot, high = low + x_planes();
      uint32_t xs[kWarpBlocks][2];
#pragma unroll
      for (int b = 0; b < kWarpBlocks; b++) {
        const int token = warp_token * 32 + b * 8 + lane.g;
        xs[b][0] = x[x_place(low, token) * 4 + lane.t];
        if (Both) xs[b][1] = x[x_place(high, token) * 4 + lane.t];
      }
#pragma unroll 1
      for (int p = 0; p < planes(); p++) {
        const int factor = plane_factor(q, x_planes()) << p;
#pragma unroll
        for (int m = 0; m < kWarpTiles; m++) {
          const uint8_t* unit =
              stage + (warp_row * kWarpTiles + m) * weight_bytes() + (Bits ? p : slot) * kUnitBytes;
          uint32_t w[4];
          unit_words(unit, lane, Both ? 0 : slot, w);
          if (Both) unit_words(unit, lane, 1, w + 2);
#pragma unroll
          for (int b = 0; b < kWarpBlocks; b++) {
            if constexpr (!Bits) {
              multiply_4(c[m][b], w, xs[b][0], xs[b][1]);
            } else {
              int d[4] = {0, 0, 0, 0};
              if constexpr (Both)
                count_256(d, w, xs[b][0], xs[b][1]);
              else
                count_128(d, w, xs[b][0]);
#pragma unroll
              for (int i = 0; i < 4; i++) c[m][b][i] += d[i] * factor;
            }
          }
        }
      }
    }
  }

  __device__ int token_of(int block, int i) const {
    return first_token + warp_token * 32 + block * 8 + 2 * lane.t + i % 2;
  }

  /// The sums of a group that ends in this slot times its scales.
  __device__ void finish(int step, int slot) {
    const StepParameters& p = parameters[step % 2];
    const int group = (2 * step + slot) / slots_per_group;
    const bool minimum = a.part.zero_kind == Zeros::minimum;
#pragma unroll
    for (int b = 0; b < kWarpBlocks; b++) {
#pragma unroll
      for (int column = 0; column < 2; column++) {
        const int token = token_of(b, column);
        const bool real = token < a.tokens;
        const int64_t at = static_cast<int64_t>(token) * a.part.groups + group;
        const float x_scale = real ? a.x_scales[token] : 0.0f;
        const int x_sum = real ? static_cast<const int*>(a.x_sums)[at] : 0;
#pragma unroll
        for (int m = 0; m < kWarpTiles; m++) {
#pragma unroll
          for (int half = 0; half < 2; half++) {
            float& out = y[m][b][half * 2 + column];
            int& sum = c[m][b][half * 2 + column];
            const int row = (warp_row * kWarpTiles + m) * 16 + lane.g + half * 8;
            if (minimum)
              out = fmaf(p.minimums[slot][row], x_scale * static_cast<float>(x_sum), out);
            else
              sum -= p.zeros[slot][row] * x_sum;
            out = fmaf(static_cast<float>(sum), p.scales[slot][row] * x_scale, out);
            sum = 0;
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
    int zero = 0;
    load(0, &scale, &zero);
    store(0, scale, zero);
#pragma unroll
    for (int s = 0; s < kPrefillStages - 1; s++) fetch(s);
    const bool both = Bits && (a.part.groups == 1 || slots_per_group % 2 == 0);
    const int width = both ? 2 : 1;
    const bool idle = first_token + warp_token * 32 >= a.tokens;
    for (int step = 0; step < steps(); step++) {
      wait_copies<kPrefillStages - 2>();
      __syncthreads();
      fetch(step + kPrefillStages - 1);
      load(step + 1, &scale, &zero);
      for (int slot = idle ? 2 : 0; slot < 2 && 2 * step + slot < slots; slot += width) {
        if (both)
          multiply<true>(step, 0);
        else
          multiply<!Bits>(step, slot);
        const int last = min(slot + width, slots - 2 * step) - 1;
        if (ends(2 * step + last)) finish(step, last);
      }
      store(step + 1, scale, zero);
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
          write_result(a, token, row, y[m][b][i]);
        }
  }
};

template <bool Bits>
__device__ void prefill(const MatmulArguments& a) {
  extern __shared__ __align__(128) uint8_t memory[];
  __shared__ StepParameters parameters[2];
  using P = Product<Bits>;
  P p(a);
  const int warp = threadIdx.x / 32;
  p.first_tile = blockIdx.x * kTiles;
  p.first_token = blockIdx.y * kPrefillTokens;
  p.warp_row = warp / 2;
  p.warp_token = warp % 2;
  p.slots = (a.part.columns + P::kSlotColumns - 1) / P::kSlotColumns;
  p.slots_per_group = a.part.groups == 1 ? p.slots : a.part.group / P::kSlotColumns;
  p.stages = memory;
  p.parameters = parameters;
  p.stage_bytes = kTiles * p.weight_bytes() + kPrefillTokens * p.x_pieces() * 16;
  p.run();
}

}  // namespace
}  // namespace sqf

extern "C" __global__ void __launch_bounds__(32 * sqf::kPrefillWarps, 2)
    prefill_s4(const __grid_constant__ sqf::MatmulArguments a) {
  sqf::prefill<false>(a);
}
extern "C" __global__ void __launch_bounds__(32 * sqf::kPrefillWarps, 2)
    prefill_b1(const __grid_constant__ sqf::MatmulArguments a) {
  sqf::prefill<true>(a);
}

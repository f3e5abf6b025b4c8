#pragma once
// Weights and activations on their way from global memory into the stages of a block: what a thread
// of the prefill kernels copies, step by step.

#include "cuda/kernels/tile.cuh"

namespace sqf {

inline constexpr int kPrefillThreads = 32 * kPrefillWarps;
inline constexpr int kPrefillTiles = kPrefillRows / 16;  // of a block

template <int Width, bool Integer, int Blocks>
struct PrefillCopies {
  static constexpr int kBytes = Integer ? 1 : 2;          // of an activation
  static constexpr int kRunBytes = kRunColumns * kBytes;  // of a row of x
  static constexpr int kXRows = 2 * 8 * Blocks;           // of x, of a block
  static constexpr int kXPieces = kRunBytes / 16,
                       kXCopies = 2 * kXRows * kXPieces / kPrefillThreads;
  static constexpr int kXPlaces =
      kXRows * kXPieces < kPrefillThreads ? 1 : kXRows * kXPieces / kPrefillThreads;

  const MatmulArguments& a;
  uint8_t* stages;
  int first_tile, first_token, weight_bytes, stage_bytes, steps;
  // What is fetched next, and where the thread's pieces of it stand.
  int weights, activations[kXPlaces];  // bytes from the first tile, and from x
  int tiles_left;                      // behind the first that the thread copies of
  int weight_place, activation_place, weight_left, fetched = 0, filling = 0;

  __device__ PrefillCopies(const MatmulArguments& arguments, uint8_t* memory)
      : a(arguments),
        stages(memory),
        first_tile(blockIdx.x * kPrefillTiles),
        first_token(blockIdx.y * (a.split != 0 ? kXRows / 2 : kXRows)),
        weight_bytes(128 * a.part.bits),
        stage_bytes(kPrefillTiles * weight_bytes + kXRows * kStepColumns * kBytes),
        steps((a.part.runs + 1) / 2) {}

  /// Where copies come from and go. Tiles behind the last are zeros, tokens are the last once more.
  __device__ void begin() {
    const int last_tile = (a.part.rows + 15) / 16 - 1;
    if constexpr (Width != 0) {
      constexpr int kPieces = 8 * Width;  // of a tile
      const int piece = threadIdx.x % kPieces;
      const int tile = threadIdx.x / kPieces;
      weights = tile * static_cast<int>(a.part.tile_bytes[0]) + piece * 16;
      tiles_left = last_tile - first_tile - tile;
      weight_left = static_cast<int>(a.part.tile_bytes[0]) - piece * 16;
      weight_place = threadIdx.x / kPieces * 16 * kPieces + piece_place(Width, piece) * 16;
    }
    const int piece = threadIdx.x % kXPieces;
#pragma unroll
    for (int i = 0; i < kXPlaces; i++) {
      const int row = (threadIdx.x / kXPieces + i * (kPrefillThreads / kXPieces)) % kXRows;
      activations[i] = x_row(row) * static_cast<int>(a.x_stride) * kBytes +
                       threadIdx.x / (kXRows * kXPieces) * kRunBytes + piece * 16;
    }
    activation_place = kPrefillTiles * weight_bytes + threadIdx.x * 16;
  }

  /// Split activations: the upper half of the block's rows is what the lower has lost by rounding.
  __device__ int x_row(int row) const {
    if (a.split == 0) return min(first_token + row, a.tokens - 1);
    const int token = min(first_token + row % (kXRows / 2), a.tokens - 1);
    return row < kXRows / 2 ? token : a.tokens + token;
  }

  __device__ void fetch() {
    if (fetched < steps) {
      uint8_t* to = stages + filling * stage_bytes;
      if constexpr (Width == 0) {
        uint8_t* plane = to;
        for (int p = 0; p < a.part.plane_count; p++) {
          const int bits = 31 - __clz(a.part.radices[p]);
          fetch_plane(p, bits, plane);
          plane += 128 * bits;
        }
      } else {
        constexpr int kCopies = Width / 4, kTilesApart = kPrefillThreads / (8 * Width);
        const uint8_t* from = a.part.planes[0] + first_tile * a.part.tile_bytes[0];
#pragma unroll
        for (int i = 0; i < kCopies; i++) {
          const bool real = weight_left > 0 && i * kTilesApart <= tiles_left;
          const int64_t at = weights + i * kTilesApart * a.part.tile_bytes[0];
          copy_16(to + weight_place + i * kPrefillThreads * 16, real ? from + at : from, real);
        }
        weights += 128 * Width;
        weight_left -= 128 * Width;
      }
      const auto* x = static_cast<const uint8_t*>(a.x);
#pragma unroll
      for (int i = 0; i < kXCopies; i++)
        copy_16(to + activation_place + i * kPrefillThreads * 16,
                x + activations[i % kXPlaces] + i / kXPlaces * kRunBytes, true);
#pragma unroll
      for (int i = 0; i < kXPlaces; i++) activations[i] += kStepColumns * kBytes;
      fetched++;
      filling = filling + 1 == kPrefillStages ? 0 : filling + 1;
    }
    commit_copies();
  }

  __device__ void fetch_plane(int plane, int bits, uint8_t* to) {
    const int64_t at = static_cast<int64_t>(fetched) * 128 * bits;
    const int64_t left = a.part.tile_bytes[plane] - at;
    const int last_tile = (a.part.rows + 15) / 16 - 1;
    for (int i = threadIdx.x; i < kPrefillTiles * 8 * bits; i += kPrefillThreads) {
      const int tile = i / (8 * bits), piece = i % (8 * bits);
      const bool real = piece * 16 < left;
      const uint8_t* from = a.part.planes[plane];
      if (real)
        from += min(first_tile + tile, last_tile) * a.part.tile_bytes[plane] + at + piece * 16;
      copy_16(to + tile * weight_bytes + piece_place(bits, piece) * 16, from, real);
    }
  }
};

}  // namespace sqf

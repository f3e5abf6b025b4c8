#pragma once
// Weights and activations on their way from global memory into the stages of a block: what a thread
// of the prefill kernels copies, step by step.
//
// A stage has the weights of four pairs of tiles, each as operands.cuh wants them, and then the
// activations [run][token][32 columns].

#include "cuda/kernels/operands.cuh"

namespace sqf {

inline constexpr int kPrefillThreads = 32 * kPrefillWarps;
inline constexpr int kPrefillTiles = kPrefillRows / 16;  // of a block

/// Keeps a number from being worked out again wherever it is used.
__device__ inline void settle(int& number) {
  asm volatile("" : "+r"(number));
}

/// One piece of 16 bytes of a plane in every step.
struct PlanePiece {
  const uint8_t* from;  // the next step's
  int place;            // in a stage
  int at_end;           // a last step that is less than whole has it: else it is zeros there
};

template <int Width, bool Integer, int Blocks>
struct PrefillCopies {
  static constexpr int kBytes = Integer ? 1 : 2;          // of an activation
  static constexpr int kRunBytes = kRunColumns * kBytes;  // of a row of x
  static constexpr int kXRows = 2 * 8 * Blocks;           // of x, of a block
  static constexpr int kXPieces = kRunBytes / 16,
                       kXCopies = 2 * kXRows * kXPieces / kPrefillThreads;
  static constexpr int kXPlaces =
      kXRows * kXPieces < kPrefillThreads ? 1 : kXRows * kXPieces / kPrefillThreads;
  // Of a plane of 4 bits or more every thread copies; planes of 2 and 1 share the threads out.
  static constexpr bool kFixed = Width != kAnyPlanes;
  static constexpr int kWideBits = kFixed && Width >= 4 ? plane_bits_of(Width, 0) : 0;
  static constexpr int kSlimBits = kFixed ? Width - kWideBits : 0;
  static constexpr int kSlimPlane = kWideBits > 0 ? 1 : 0;
  static constexpr int kFirstSlimBits = kSlimBits == 3 ? 2 : kSlimBits;

  const MatmulArguments& a;
  uint8_t* stages;
  int first_tile, last_tile, first_token, weight_bytes, stage_bytes, steps, whole_steps;
  // What is fetched next, and where it goes.
  PlanePiece wide, slim;
  int others[kWideBits / 4 + 1];  // bytes to the tiles of the plane's other copies
  int activations[kXPlaces];      // bytes from x
  int fetched = 0, filling = 0;

  __device__ PrefillCopies(const MatmulArguments& arguments, uint8_t* memory)
      : a(arguments),
        stages(memory),
        first_tile(blockIdx.x * kPrefillTiles),
        last_tile((a.part.rows + 15) / 16 - 1),
        first_token(blockIdx.y * (a.split != 0 ? kXRows / 2 : kXRows)),
        weight_bytes(256 * a.part.bits),
        stage_bytes(kPrefillTiles / 2 * weight_bytes + kXRows * kStepColumns * kBytes),
        steps((a.part.runs + 1) / 2),
        whole_steps(a.part.columns / kStepColumns) {}

  /// Where copies come from and go. Tiles and tokens behind the last are the last once more.
  __device__ void begin() {
    const int thread = threadIdx.x;
    if constexpr (kWideBits > 0) {
      wide = piece_of(0, kWideBits, 0, thread);
      const int tile = first_tile + thread / (8 * kWideBits);
#pragma unroll
      for (int i = 0; i < kWideBits / 4; i++)
        others[i] =
            (min(tile + i * kPrefillThreads / (8 * kWideBits), last_tile) - min(tile, last_tile)) *
            static_cast<int>(a.part.tile_bytes[0]);
    }
    if constexpr (kSlimBits > 0) {
      slim = has_first_slim() ? piece_of(kSlimPlane, kFirstSlimBits, kWideBits, thread)
                              : piece_of(kSlimPlane + 1, 1, kWideBits + kFirstSlimBits,
                                         thread - 64 * kFirstSlimBits);
    }
    const int piece = thread % kXPieces;
#pragma unroll
    for (int i = 0; i < kXPlaces; i++) {
      const int row = (thread / kXPieces + i * (kPrefillThreads / kXPieces)) % kXRows;
      activations[i] = x_row(row) * static_cast<int>(a.x_stride) * kBytes +
                       thread / (kXRows * kXPieces) * kRunBytes + piece * 16;
    }
  }

  /// Split activations: the upper half of the block's rows is what the lower has lost by rounding.
  __device__ int x_row(int row) const {
    if (a.split == 0) return min(first_token + row, a.tokens - 1);
    const int token = min(first_token + row % (kXRows / 2), a.tokens - 1);
    return row < kXRows / 2 ? token : a.tokens + token;
  }

  __device__ static bool has_first_slim() {
    return kFirstSlimBits == kSlimBits || threadIdx.x < 64 * kFirstSlimBits;
  }

  /// Piece `i` of a plane behind planes of `before` bits, counted through the block's tiles.
  __device__ PlanePiece piece_of(int plane, int bits, int before, int i) const {
    const int tile = i / (8 * bits), piece = i % (8 * bits), step_bytes = 128 * bits;
    const int64_t bytes = a.part.tile_bytes[plane];
    int at_end = whole_steps * step_bytes + piece * 16 < static_cast<int>(bytes) ? 1 : 0;
    settle(at_end);
    return {a.part.planes[plane] + min(first_tile + tile, last_tile) * bytes + piece * 16,
            tile / 2 * weight_bytes + 256 * before + tile % 2 * step_bytes +
                piece_place(bits, piece) * 16,
            at_end};
  }

  __device__ void fetch() {
    if (fetched < steps) {
      uint8_t* to = stages + filling * stage_bytes;
      const bool whole = fetched < whole_steps;
      if constexpr (kWideBits > 0) {
#pragma unroll
        for (int i = 0; i < kWideBits / 4; i++)
          copy_16(to + wide.place + i * kPrefillThreads * 16, wide.from + others[i],
                  whole || wide.at_end != 0);
        wide.from += 128 * kWideBits;
      }
      if constexpr (kSlimBits > 0) {
        if (threadIdx.x < 64 * kSlimBits)
          copy_16(to + slim.place, slim.from, whole || slim.at_end != 0);
        slim.from += has_first_slim() ? 128 * kFirstSlimBits : 128;
      }
      if constexpr (!kFixed) fetch_any(to);
      uint8_t* to_x = to + kPrefillTiles / 2 * weight_bytes + threadIdx.x * 16;
      const auto* x = static_cast<const uint8_t*>(a.x);
#pragma unroll
      for (int i = 0; i < kXCopies; i++)
        copy_16(to_x + i * kPrefillThreads * 16,
                x + activations[i % kXPlaces] + i / kXPlaces * kRunBytes, true);
#pragma unroll
      for (int i = 0; i < kXPlaces; i++) activations[i] += kStepColumns * kBytes;
      fetched++;
      filling = filling + 1 == kPrefillStages ? 0 : filling + 1;
    }
    commit_copies();
  }

  __device__ void fetch_any(uint8_t* to) const {
    int before = 0;
#pragma unroll 1
    for (int p = 0; p < a.part.plane_count; p++) {
      const int bits = 31 - __clz(a.part.radices[p]);
#pragma unroll 1
      for (int i = threadIdx.x; i < 64 * bits; i += kPrefillThreads) {
        const PlanePiece piece = piece_of(p, bits, before, i);
        copy_16(to + piece.place, piece.from + static_cast<int64_t>(fetched) * 128 * bits,
                fetched < whole_steps || piece.at_end != 0);
      }
      before += bits;
    }
  }
};

}  // namespace sqf

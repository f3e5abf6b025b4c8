#pragma once
// Weights and activations on their way from global memory into the stages of a block: what a lane
// of the decode kernels copies, step by step.

#include "cuda/kernels/window.cuh"

namespace sqf {

template <bool First, typename A, typename B>
struct Choice {
  using Type = A;
};
template <typename A, typename B>
struct Choice<false, A, B> {
  using Type = B;
};

/// What is known of a kernel when it is compiled. Width as in decode_shape.hpp; blocks of eight
/// tokens.
template <int Width, bool Integer, int Blocks>
struct DecodeConstants {
  static constexpr bool kReal = Width == 16, kFixed = Width > 0;
  static constexpr int kBytes = Integer ? 1 : 2;  // of an activation
  static constexpr int kRuns = decode_runs(Width), kStages = decode_stages(Width);
  static constexpr int kTeam = decode_team(Blocks);
  static constexpr int kPlanes = kFixed ? plane_count_of(Width) : 1;
  static constexpr int kRunBytes = kRunColumns * kBytes;  // of an activation
  static constexpr int kOfRun = kRunBytes / 16;           // pieces
  static_assert(Blocks * 8 * kOfRun * kRuns <= kTeam * 32);

  static constexpr int tile_step_bytes(int bits) { return kRuns * 64 * bits; }
};

template <int Width, bool Integer, int Blocks>
struct Copies {
  using K = DecodeConstants<Width, Integer, Blocks>;
  static constexpr int kRuns = K::kRuns, kPlanes = K::kPlanes, kBytes = K::kBytes;
  static constexpr int kRunBytes = K::kRunBytes, kOfRun = K::kOfRun;
  static constexpr bool kFixed = K::kFixed;
  // Bytes between tiles. Where planes are many a register counts more than an instruction.
  using Apart = typename Choice<(kPlanes > 1), uint32_t, int64_t>::Type;

  const MatmulArguments& a;
  const OwnWeights& own;
  Lane lane;
  int tile, next_tile;  // the second again the first where there is none: what it makes is dropped
  bool idle;            // no tile is the warp's: it copies zeros
  int member, x_rows;   // of the team; of its activations
  uint32_t weights_at, activations_at;  // the warp's and the team's in the first stage
  // What is to be copied next. Of a plane of 1 and 2 bits a lane copies of one tile only.
  const uint8_t* planes[kPlanes];
  Apart second[kPlanes];  // from one tile to the other
  int whole_steps;        // after these one may have less: bit 4 + 2 p + i of `tail` says if the
  uint32_t tail;          // lane's piece i of plane p is there; of any planes, if there are some
  int copy_places[kPlanes];
  const uint8_t* activations;
  int copies_activations;
  uint32_t activation_place;

  __device__ Copies(const MatmulArguments& arguments, const OwnWeights& weights)
      : a(arguments), own(weights) {}

  __device__ void begin(int first) {
    whole_steps = idle ? 0 : a.part.columns / (kRunColumns * kRuns);
    tail = !kFixed && !idle ? 1 : 0;
    if constexpr (kFixed) {
#pragma unroll
      for (int p = 0; p < kPlanes; p++) {
        const int bits = plane_bits_of(Width, p), step_bytes = K::tile_step_bytes(bits);
        const int pieces = step_bytes / 16;
        const bool other = pieces < 32 && lane.lane / pieces % 2 != 0;
        const int piece = pieces < 32 ? lane.lane % pieces : lane.lane;
        const int64_t bytes = a.part.tile_bytes[p];
        planes[p] = own.planes[p] + (other ? next_tile : tile) * bytes +
                    static_cast<int64_t>(first) * step_bytes + piece * 16;
        second[p] = static_cast<Apart>((next_tile - tile) * bytes);
        const auto left = static_cast<int>(bytes - static_cast<int64_t>(whole_steps) * step_bytes);
#pragma unroll
        for (int i = 0; i < 2; i++)
          if (piece * 16 + i * 512 < left && !idle) tail |= 16u << (2 * p + i);
        copy_places[p] = static_cast<int>(weights_at) +
                         2 * K::tile_step_bytes(plane_shift_of(Width, p)) +
                         (other ? step_bytes : 0) + piece_place(bits, piece) * 16;
      }
    }
    // A team's threads copy in turn: pieces of a run, rows, runs.
    const int thread = member * 32 + lane.lane, piece = thread % kOfRun;
    const int row = thread / kOfRun % (Blocks * 8), run = thread / kOfRun / (Blocks * 8);
    copies_activations = row < x_rows && run < kRuns ? 1 : 0;
    activation_place = activations_at + (run * x_rows + row) * kRunBytes + piece * 16;
    activations = static_cast<const uint8_t*>(a.x) +
                  (static_cast<int64_t>(first) * kRuns + run) * kRunBytes + piece * 16 +
                  row * a.x_stride * kBytes;
  }

  /// Called with one step after another, each into the next stage.
  __device__ void fetch(int step, int end, uint32_t stage) {
    if (step < end) {
      if constexpr (kFixed) {
        const uint32_t there = step < whole_steps ? ~0u : tail;
        fetch_plane<0>(there, stage);
        if constexpr (kPlanes > 1) fetch_plane<1>(there, stage);
        if constexpr (kPlanes > 2) fetch_plane<2>(there, stage);
      } else {
        fetch_any(step, weights_at + stage);
      }
      copy_piece_if(activation_place + stage, activations, copies_activations);
      activations += kRuns * kRunBytes;
    }
    commit_copies();
  }

  template <int P>
  __device__ void fetch_plane(uint32_t there, uint32_t stage) {
    constexpr int kBits = plane_bits_of(Width, P), kStepBytes = K::tile_step_bytes(kBits);
    constexpr int kPieces = kStepBytes / 16, kOfLane = kPieces < 32 ? 1 : kPieces / 32;
    static_assert(kOfLane <= 2);
    const uint32_t to = stage + copy_places[P];
    const uint32_t size = there >> 2 * P & 16, next = there >> (2 * P + 1) & 16;
    // Of 16 bits the second eight lines have their halves traded.
    const uint32_t other = kBits == 16 ? to + (lane.lane % 4 < 2 ? 32 : -32) : to;
    if (kPieces >= 16 || lane.lane < 2 * kPieces) {
      copy_piece<0, 0>(to, planes[P], size);
      if constexpr (kOfLane > 1) copy_piece<512, 512>(other, planes[P], next);
    }
    if constexpr (kPieces >= 32) {
      const uint8_t* from = planes[P] + second[P];
      copy_piece<kStepBytes, 0>(to, from, size);
      if constexpr (kOfLane > 1) copy_piece<kStepBytes + 512, 512>(other, from, next);
    }
    planes[P] += kStepBytes;
  }

  __device__ void fetch_any(int step, uint32_t to) {
#pragma unroll 1
    for (int p = 0; p < a.part.plane_count; p++) {
      const int bits = 31 - __clz(a.part.radices[p]);
      const int64_t at = static_cast<int64_t>(step) * 128 * bits;
      const int64_t left = a.part.tile_bytes[p] - at;
      const uint8_t* from = a.part.planes[p] + at;
#pragma unroll 1
      for (int i = lane.lane; i < 16 * bits; i += 32) {
        const bool other = i >= 8 * bits;
        const int piece = other ? i - 8 * bits : i;
        copy_piece<0, 0>(to + (other ? 128 * bits : 0) + piece_place(bits, piece) * 16,
                         from + (other ? next_tile : tile) * a.part.tile_bytes[p] + piece * 16,
                         piece * 16 < left && tail != 0 ? 16u : 0u);
      }
      to += 256 * bits;
    }
  }
};

}  // namespace sqf

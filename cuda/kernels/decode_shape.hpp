#pragma once
// How the decode kernels share out a matrix: read by the kernels and by who launches them.
//
// A warp makes 32 rows, two tiles, over a share of the columns. Warps of a *team* have rows side by
// side and the same columns: they read one copy of the activations. The teams of a block, and the
// blocks of a split, share the columns.

#include "cuda/kernels/arguments.hpp"

namespace sqf {

inline constexpr int kDecodeRows = 32;   ///< of a warp
inline constexpr int kWindowGroups = 8;  ///< whose scales and zeros a warp has at hand
inline constexpr int kWindowBytes = (2 * kWindowGroups + 1) * kDecodeRows * 4;

/// What a decode kernel is compiled for: 1..8 for codes of so many bits in the planes that the
/// specification gives them, 16 for f16 and bf16, or this.
inline constexpr int kAnyPlanes = 0;

/// Runs of a step. Real values take as many bytes in one as 8 bits in two.
constexpr int decode_runs(int width) {
  return width == 16 ? 1 : 2;
}

/// Steps on their way or in use: with two blocks on a multiprocessor at least 32 KB travel, and
/// both blocks have room.
constexpr int decode_stages(int width) {
  switch (width) {
    case 1:
      return 10;
    case 2:
      return 6;
    case 3:
      return 5;
    case 4:
    case 5:
    case 16:
      return 4;
    default:
      return 3;
  }
}

/// Warps of a team, for kernels of one block of eight tokens or of two.
constexpr int decode_team(int token_blocks) {
  return token_blocks == 1 ? 2 : 4;
}

/// Bytes of a warp's weights in a step, and of a team's activations, `rows` of them.
constexpr int decode_weight_bytes(int width, int bits) {
  return decode_runs(width) * 2 * 64 * bits;
}
constexpr int decode_activation_bytes(int width, bool integer, int rows) {
  return decode_runs(width) * rows * kRunColumns * (integer ? 1 : 2);
}

}  // namespace sqf

#pragma once
// From f32 rows to stored tiles: ranges, codes, scales and zero points of one tile at a time, and
// GGUF blocks carried over code for code. Every result is the same bits on every CPU. NaN and
// infinities are the caller's to refuse: here they are a broken precondition.

#include <cstddef>
#include <cstdint>
#include <span>

#include "converter/part_buffers.hpp"

namespace sqf {

enum class Range : uint8_t {
  minmax,  ///< the smallest range that clips no weight
  search,  ///< the range with the least weighted squared error
  clip,    ///< the range, drawn in or not, that costs partial dot products least
};

struct QuantizeOptions {
  Range range = Range::search;
  /// [columns], at least 0: weight of a squared error in that column. Null: all 1. The plain range
  /// does not look at it.
  const float* importance = nullptr;
  /// Range::clip: X^T X of the inputs over each group's columns, [size][size] one behind another;
  /// any scale. Null: as Range::search.
  const float* grams = nullptr;
};

/// What was lost, for the report. Sums over real rows, unweighted, of the values as decoded.
struct QuantizeStats {
  double squared_error = 0, energy = 0;
  int64_t zero_rows = 0;    ///< rows without a nonzero weight
  int64_t saturated = 0;    ///< scales, minimums or values beyond the largest of their type
  int64_t underflowed = 0;  ///< groups or values, not zero, that became zero
  /// Groups of zeros that became something else: scales of e8m0 on levels without 0.
  int64_t lifted_zeros = 0;
  // Range::clip: mean squares of what groups' partial dot products lose, all added up, without
  // clipping and with it; groups whose range was drawn in.
  double unclipped_error = 0, clipped_error = 0;
  int64_t clipped = 0;

  void add(const QuantizeStats& other);
};

/// Quantizes rows [16 tile, 16 tile + real_rows) of a part of any coded grid and stores them.
///   w [real_rows][columns], finite; 1 <= real_rows <= 16, fewer than 16 only in the last tile.
/// Codes are taken with the scale as stored. Affine: round half to even of (w - minimum) / scale,
/// plus the zero point, clamped. Minifloat and levels: the level nearest to w / scale, between two
/// the one with the even code. A group of zeros decodes to exact zeros, by a level of 0 or a scale
/// of 0; levels without 0 on e8m0 scales, which have none either, take the smallest scale and are
/// counted, unless the whole row is zeros and has a factor. Padding is 0 bytes throughout.
/// Allocates about 150 bytes a column; different tiles may run on different threads.
void quantize_tile(const float* w, int64_t tile, int64_t real_rows, const QuantizeOptions& options,
                   PartBuffers* out, QuantizeStats* stats);

/// Grid real: stores w [rows][columns] as rows [row, row + rows). What f16 cannot hold becomes its
/// largest value and is counted.
void store_rows(const float* w, int64_t row, int64_t rows, PartBuffers* out, QuantizeStats* stats);

/// What a quantized source has for one row of a group of 32 columns: f16 bits, and codes.
struct KeptGroup {
  uint16_t scale = 0, minimum = 0;
  uint8_t codes[32] = {};
};

/// Carries one tile over: groups [rows][columns / 32] in encodings of f16 scales, and of constant
/// zeros or f16 minimums. At most 16 rows, fewer only in the last tile. Precondition: columns is a
/// multiple of 32.
void keep_tile(std::span<const KeptGroup> groups, int64_t tile, int64_t rows, PartBuffers* out);

}  // namespace sqf

#pragma once
// A part of a matrix as kernels see it: pointers into the mapping plus the encoding that says
// what they mean. decode_tile is the reference every kernel is held to (spec/encodings.md).

#include <array>
#include <cstddef>
#include <cstdint>

#include "format/codes.hpp"
#include "format/encoding.hpp"

namespace sqf {

/// One [rows, columns] matrix in one encoding. Trivially copyable; valid while the file is open.
/// Sizes were checked when the file was opened, so nothing here checks them again.
struct PartView {
  EncodingRecord encoding = {};
  int64_t rows = 0;     ///< real rows; the stored ones are padded to 16
  int64_t columns = 0;  ///< the part's own columns
  std::array<const std::byte*, kMaxPlanes> planes = {};  ///< words of tiles; grid real: values
  const std::byte* scales = nullptr;   ///< [tile][group][16] of encoding.scale_type
  const float* row_factors = nullptr;  ///< [tile][16], where encoding.row_factor
  const std::byte* zeros = nullptr;    ///< [tile][group][16] u8 or f16, or [tile][group][8] u4
};

/// Decodes the 16 rows of one tile to f32, out [16][columns], each step rounded as the encoding
/// says; rows past the last are 0. Scalar: this is the meaning of the bytes, not the fast path.
void decode_tile(const PartView& part, int64_t tile, float* out);

/// Decodes one row, out [columns]; the same numbers as decode_tile gives.
void decode_row(const PartView& part, int64_t row, float* out);

/// Codes of one tile, [16][columns] u8, from the part's planes.
void unpack_tile(const PartView& part, int64_t tile, uint8_t* codes);

/// The inverse, from codes [columns][16]: writes one tile's words into each plane (whole planes,
/// zero-filled beforehand or not: padding is written too). Codes lie below code_count(); rows past
/// the last are 0.
void pack_lanes(const EncodingRecord& encoding, int64_t columns, int64_t tile, const uint8_t* codes,
                const std::array<std::byte*, kMaxPlanes>& planes);

/// The scale, zero point and minimum of one (row, group): what decode_tile multiplies with.
struct GroupParameters {
  float scale = 1;    ///< stored scale, times the row factor where there is one
  int32_t zero = 0;   ///< integer zero point; 0 where the encoding has none
  float minimum = 0;  ///< zero kind minimum only
};
GroupParameters group_parameters(const PartView& part, int64_t row, int64_t group);

/// Where (row, group) stands in a plane [tile][group][16]: scales, zeros, minimums, row sums.
inline int64_t group_index(int64_t groups, int64_t row, int64_t group) {
  return (row / kTileRows * groups + group) * kTileRows + row % kTileRows;
}

/// The sum of the integer levels of one group of a row (spec/encodings.md, 7); `codes` [columns]
/// are the row's, `levels` integer_levels() of the encoding.
int64_t level_sum(const PartView& part, const IntegerLevels& levels, const uint8_t* codes,
                  int64_t row, int64_t group);

}  // namespace sqf

#pragma once
// One integer matrix product spelled out for the kernels: matmul.cpp fills it, the instruction-set
// specific sources read it. Those are compiled with flags of their own, so this holds plain data
// and declarations, and no function that the linker could pick for everybody.

#include <cstdint>

#include "format/layout.hpp"
#include "runtime/cpu/isa.hpp"

namespace sqf {

/// Columns are handled in blocks of 32: 64 * bits bytes of a plane of radix 2^bits.
inline constexpr int64_t kBlockColumns = 32;

struct MatmulJob {
  // Weights.
  int width = 0;  ///< 1..8: planes as affine_encoding() chooses them; 0: any other sum of planes
  int plane_count = 0;
  int plane_bits[kMaxPlanes] = {};  ///< log2 of the radix
  const uint8_t* planes[kMaxPlanes] = {};
  int64_t tile_bytes[kMaxPlanes] = {};
  int64_t full_blocks = 0;        ///< blocks of a tile that every plane holds whole
  bool tail = false;              ///< one more block, of which some plane holds a part
  uint8_t* tail_block = nullptr;  ///< room for that block's words, 512 bytes per plane
  int64_t rows = 0, groups = 0;
  const uint8_t* scales = nullptr;
  Element scale_type = Element::none;
  const float* scale_table = nullptr;  ///< e8m0, e4m3: 256 values
  const float* row_factors = nullptr;  ///< or null
  const uint8_t* zeros = nullptr;
  ZeroKind zero = ZeroKind::none;
  int32_t zero_constant = 0;
  int64_t scale_bytes = 0, zero_bytes = 0;  ///< of one group of a tile
  int64_t group_step = 1;  ///< groups from segment to segment: 0 where one group has them all

  // Activations, as QuantizedInput has them.
  const int8_t* q = nullptr;
  int64_t stride = 0, tokens = 0, segments = 0, segment_slots = 0, slots = 0;
  const float* x_scales = nullptr;
  const int32_t* corrections = nullptr;
  const float* x_sums = nullptr;

  uint8_t* scratch = nullptr;  ///< codes of two tiles, one byte each, for chunk_segments segments
  int64_t chunk_segments = 0;  ///< at most kChunkSegments
  float* results = nullptr;    ///< kResultBytes per token of a block
  int64_t token_block = 0;     ///< tokens at a time
  int64_t tile_begin = 0, tile_end = 0;
  float* y = nullptr;  ///< [token][y_stride]
  int64_t y_stride = 0;
};

/// Segments whose scales and codes are expanded at a time, and the columns aimed at.
inline constexpr int64_t kChunkSegments = 32;
inline constexpr int64_t kChunkColumns = 512;
inline constexpr int64_t kResultBytes = 4 * 64;

void matmul_avx2(const MatmulJob& job);
void matmul_avx512(const MatmulJob& job);

/// Plain values times f32 tokens. The sum of a row is four chains that begin with 0, chain c over
/// the columns k with k mod 4 = c in ascending order, a fused multiply-add each; then
/// (c0 + c2) + (c1 + c3), times the row's scale, onto what y holds: the same bits everywhere.
struct ValuesJob {
  const uint8_t* values = nullptr;  ///< tile16 values, padding of any contents
  Element type = Element::f32;      ///< f32, f16, bf16, i8
  int64_t rows = 0, columns = 0;
  const float* x = nullptr;
  int64_t x_stride = 0, tokens = 0;
  const float* row_scales = nullptr;  ///< [rows], or null
  bool add = false;                   ///< to what y holds
  float* y = nullptr;
  int64_t y_stride = 0;

  // Set by multiply_values().
  float* wide = nullptr;   ///< room for wide_tiles as f32 and three columns more
  int64_t wide_tiles = 0;  ///< brought to f32 at a time
};

void multiply_values(Isa isa, ValuesJob job);

void multiply_values_scalar(const ValuesJob& job);
void multiply_values_avx2(const ValuesJob& job);
void multiply_values_avx512(const ValuesJob& job);

}  // namespace sqf

#pragma once
// What the host hands to the kernels: plain structs, passed by value, read by both compilers.
// Pointers are device addresses. A *run* is 32 columns of a part, padding included; a *step* is
// two runs.

#include <cstdint>

namespace sqf {

inline constexpr int kDevicePlanes = 8;
inline constexpr int kRunColumns = 32;
inline constexpr int kStepColumns = 64;
inline constexpr int kDecodeWarps = 8;   ///< of a block; decode_shape.hpp says who shares what
inline constexpr int kDecodeTokens = 8;  ///< of one tensor-core block
inline constexpr int kPrefillWarps = 8;  ///< of a block: 4 along the rows, 2 along the tokens
inline constexpr int kPrefillRows = 128, kPrefillTokens = 64;  ///< or twice as many tokens
inline constexpr int kPrefillStages = 3;
inline constexpr int kNibbleColumns = 128, kBitColumns = 256;  ///< of a step, forms s4 and b1
inline constexpr int kUnitBytes = 512;  ///< eight words of a tile's rows: narrow.cuh
inline constexpr int kBitWindowBytes = 2 * 16 * 16 * 4;  ///< scales and zeros of a warp: bits.cu
inline constexpr int kResultPitch = 20;  ///< floats from token to token of a result: no bank twice
inline constexpr int kBitBlocks = 8;     ///< decode_b1: eights of planes of activations, at most
inline constexpr int kFormThreads = 256;

/// What a code stands for before its scale.
enum class Values : int32_t {
  affine,     ///< code - zero, or the code itself with a minimum
  table,      ///< f16 of at most 16 levels
  minifloat,  ///< at most 4 exponent bits
  f16,
  bf16
};
enum class Scales : int32_t { none, f32, f16, bf16, u8, table };
enum class Zeros : int32_t { constant, u4, u8, minimum };

/// A part [rows, columns] as the file has it.
struct DevicePart {
  const uint8_t* planes[kDevicePlanes];  ///< tile16, widest radix first
  int64_t tile_bytes[kDevicePlanes];
  int32_t radices[kDevicePlanes];
  int32_t plane_count;
  int32_t bits;  ///< of one column over all planes whose radices are powers of two; real: 16, 32
  Values values;
  int32_t flip;  ///< of the codes' words: 0x80808080 turns signed bytes into codes
  const uint8_t* scales;
  const uint8_t* zeros;
  const float* row_factors;   ///< or null
  const float* scale_values;  ///< [256] for Scales::table
  const float*
      code_values;         ///< [256], grids without integers: what a code is, for the plain kernel
  const uint16_t* levels;  ///< [16] f16, for Values::table
  Scales scale_type;
  Zeros zero_kind;
  int32_t zero_constant;
  uint32_t sign_mask, magnitude_mask;   ///< Values::minifloat: of two codes in a word, which
  int32_t sign_shift, magnitude_shift;  ///< move by these bits into f16,
  uint32_t magnitude_factor;            ///< times this pair of f16
  int32_t rows, columns;
  int32_t group;   ///< columns of one; `columns` for the whole row
  int32_t groups;  ///< of a row
  int32_t runs;    ///< of a row
  int32_t runs_per_group;
};

/// y [tokens][y_stride] = or += the part times x.
struct MatmulArguments {
  DevicePart part;
  const void* x;     ///< [tokens][x_stride] of a FormType (forms.cu says in which order)
  int32_t split;     ///< f16: x has as many rows again, of what the first have lost by rounding
  int32_t x_planes;  ///< b1: of an activation
  int64_t x_stride;  ///< elements
  const float* x_scales;  ///< [tokens]; integers only
  const void* x_sums;     ///< [tokens][groups] f32 of f16, else i32; null where nothing needs it
  const float* x_lows;    ///< [tokens] what a zero stands for; asymmetric integers: else null
  const float* row_sums;  ///< [rows] of the weights, with x_lows
  const float* bias;      ///< [rows] or null
  float* y;
  int64_t y_stride;
  float* partial;     ///< [splits][tokens][rows of all blocks], where splits > 1
  uint32_t* tickets;  ///< [blocks along the rows], 0 before and after
  int32_t tokens;
  int32_t add;     ///< to what y holds
  int32_t stages;  ///< decode_b1: of a warp's pipeline, 2 to 4
};

inline constexpr int kMoreProducts = 2, kMorePlanes = 3;

/// What a product has of its own in a launch that makes several, alike in all else.
struct MoreArguments {
  uint32_t first_block;  ///< along the rows of all products; none: as many as there are
  int32_t rows;
  const uint8_t* planes[kMorePlanes];
  const uint8_t *scales, *zeros;
  const float *row_factors, *row_sums, *bias;
  float* y;
  int64_t y_stride;
};

/// Of the decode kernels. Those of any planes make the first product alone.
struct DecodeArguments {
  MatmulArguments first;
  MoreArguments more[kMoreProducts];
};

enum class FormSource : int32_t { plain, norm, gated };
enum class FormType : int32_t {
  f32,
  f16,
  s8,
  s4,  ///< words of eight columns, as planes of radix 16 have them
  b1   ///< [128 columns][plane][4 words] of two's complement, words as planes of radix 2 have them
};
enum class Quantizer : int32_t { none, integer, minifloat };

/// One activation as a matrix product wants it: normed or gated, divided, gathered, scaled,
/// quantized. A block makes one token.
struct FormArguments {
  FormSource source;
  FormType type;
  const float* x;      ///< [tokens][columns]
  const float* other;  ///< norm: weights [columns]; gated: the factor of silu(x), [tokens][columns]
  float epsilon;       ///< norm
  int32_t columns;     ///< of x
  int32_t count;       ///< of the form
  const uint32_t* gather;  ///< [count] or null: all
  const float* smooth;     ///< [columns] or null
  const float* factors;    ///< [count] or null
  Quantizer quantizer;
  int32_t asymmetric, is_static, per_tensor, exponent_bits, mantissa_bits;
  float scale, low;  ///< is_static
  int32_t lowest, highest;
  int32_t shift;        ///< what is taken from an integer to make it signed
  int32_t planes;       ///< b1: 2, 4 or 8, the top one counts negative
  float largest;        ///< of the quantizer's own numbers: what a symmetric scale is a share of
  const float* ranges;  ///< [tokens][2]: of the whole tensor then; null: of the token itself
  float* ranges_out;    ///< [tokens][2]: only these are made; null: the form
  void* out;            ///< [tokens][stride], zeros behind count
  int32_t split;   ///< f16: rows [tokens][stride] more, of what the first have lost by rounding
  int64_t stride;  ///< elements
  float* scales;   ///< [tokens]; integers
  float* lows;     ///< [tokens]; asymmetric integers: what q = 0 stands for
  void* sums;      ///< [tokens][groups], or null
  int32_t group, groups;
  int32_t tokens;
};

struct EmbedArguments {
  DevicePart part;  ///< [vocab, hidden]
  const int32_t* tokens;
  float* x;  ///< [tokens][hidden]
};

struct RotateArguments {
  float* q;                      ///< [tokens][heads][dim]
  const float *k, *v;            ///< [tokens][kv_heads][dim]
  const float *q_norm, *k_norm;  ///< [dim] or null
  float epsilon;
  const float* frequencies;  ///< [dim / 2]
  const int32_t* position;   ///< of the first token
  uint16_t *keys, *values;   ///< [kv_heads][context][dim] f16
  int32_t heads, kv_heads, dim, context;
};

}  // namespace sqf

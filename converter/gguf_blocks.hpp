#pragma once
// GGUF's block types: what a block of 32 or 256 consecutive columns holds. Every one is groups of
// codes that share a scale, some a minimum. Source: ggml's ggml-common.h and ggml-quants.c.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "converter/source.hpp"
#include "format/encoding.hpp"

namespace sqf {

inline constexpr int kGroupColumns = 32;  ///< of a group, at most
inline constexpr int kMaxGroupsOfBlock = 16;

/// Weight i is scale * (codes[i] - offset) + minimum, or scale * levels[codes[i]]: BlockFormat says
/// which. Both factors are what ggml computes from the block, each step rounded to f32.
struct BlockGroup {
  float scale, minimum;
  uint8_t codes[kGroupColumns];
};

struct BlockFormat {
  std::string_view name;  ///< as in errors: q4_K
  uint32_t number;        ///< of the type, in a file
  int columns, bytes;     ///< of a block
  int group;              ///< columns of one, 16 or 32
  int bits, offset;
  bool has_minimum;
  const int8_t* levels;  ///< [16], or null
  void (*unpack)(const std::byte* block, BlockGroup* groups);
};

/// Precondition (assert): a block type.
const BlockFormat& block_format(SourceType type);

/// The encoding that takes the type's codes as they are: none where groups are of 16 columns.
/// Scales and minimums are f16, which holds them exactly but for those of q4_K, q5_K and iq4_xs.
std::optional<EncodingRecord> kept_encoding(SourceType type);

/// Weights of whole blocks to `out`, f32.
void decode_blocks(const BlockFormat& format, const std::byte* in, int64_t columns, float* out);

}  // namespace sqf

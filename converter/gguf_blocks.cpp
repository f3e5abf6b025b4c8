#include "converter/gguf_blocks.hpp"

#include <bit>
#include <cassert>
#include <iterator>
#include <vector>

#include "format/scalar.hpp"

namespace sqf {
namespace {

constexpr int8_t kLevels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                1,    13,   25,  38,  53,  69,  89,  113};

float half_at(const std::byte* from) {
  return f16_to_f32(load<uint16_t>(from));
}
int byte_at(const std::byte* from, int i) {
  return std::to_integer<int>(from[i]);
}

/// Byte j has code j in its low and code j + 16 in its high nibble.
void split_nibbles(const std::byte* from, uint8_t* codes) {
  for (int j = 0; j < 16; j++) {
    codes[j] = static_cast<uint8_t>(byte_at(from, j) & 15);
    codes[j + 16] = static_cast<uint8_t>(byte_at(from, j) >> 4);
  }
}

/// Bit j of 32 is the fifth of code j.
void add_fifth_bits(const std::byte* from, uint8_t* codes) {
  const auto bits = load<uint32_t>(from);
  for (int j = 0; j < 32; j++) codes[j] = static_cast<uint8_t>(codes[j] | (bits >> j & 1) << 4);
}

void unpack_q4_0(const std::byte* block, BlockGroup* g) {
  g->scale = half_at(block);
  split_nibbles(block + 2, g->codes);
}

void unpack_q4_1(const std::byte* block, BlockGroup* g) {
  g->scale = half_at(block), g->minimum = half_at(block + 2);
  split_nibbles(block + 4, g->codes);
}

void unpack_q5_0(const std::byte* block, BlockGroup* g) {
  g->scale = half_at(block);
  split_nibbles(block + 6, g->codes);
  add_fifth_bits(block + 2, g->codes);
}

void unpack_q5_1(const std::byte* block, BlockGroup* g) {
  g->scale = half_at(block), g->minimum = half_at(block + 2);
  split_nibbles(block + 8, g->codes);
  add_fifth_bits(block + 4, g->codes);
}

/// Two's complement to offset binary: -128 is code 0.
void unpack_q8_0(const std::byte* block, BlockGroup* g) {
  g->scale = half_at(block);
  for (int j = 0; j < 32; j++) g->codes[j] = static_cast<uint8_t>(byte_at(block + 2, j) ^ 0x80);
}

/// Two bits of 128 columns: bits 2 p and 2 p + 1 of byte l are column 32 p + l. Sixteen a group.
void split_pairs(const std::byte* from, BlockGroup* groups) {
  for (int column = 0; column < 256; column++) {
    const int byte = byte_at(from, column / 128 * 32 + column % 32);
    groups[column / 16].codes[column % 16] =
        static_cast<uint8_t>(byte >> (column % 128 / 32 * 2) & 3);
  }
}

/// scales [16] (low nibble: of the scale, high: of the minimum), codes [64], d, dmin.
void unpack_q2_K(const std::byte* block, BlockGroup* groups) {
  const float d = half_at(block + 80), least = half_at(block + 82);
  split_pairs(block + 16, groups);
  for (int i = 0; i < 16; i++) {
    const int both = byte_at(block, i);
    groups[i].scale = d * static_cast<float>(both & 15);
    groups[i].minimum = -(least * static_cast<float>(both >> 4));
  }
}

/// Third bits [32], two lower bits [64], sixteen scales of six bits in twelve bytes, d.
void unpack_q3_K(const std::byte* block, BlockGroup* groups) {
  const std::byte* scales = block + 96;
  const float d = half_at(block + 108);
  split_pairs(block + 32, groups);
  for (int column = 0; column < 256; column++) {
    const int bit = byte_at(block, column % 32) >> column / 32 & 1;
    uint8_t& code = groups[column / 16].codes[column % 16];
    code = static_cast<uint8_t>(code | bit << 2);
  }
  for (int i = 0; i < 16; i++) {
    const int low = byte_at(scales, i % 8) >> i / 8 * 4 & 15;
    const int high = byte_at(scales, 8 + i % 4) >> i / 4 * 2 & 3;
    groups[i].scale = d * static_cast<float>((low | high << 4) - 32);
  }
}

/// Eight scales and eight minimums of six bits in twelve bytes.
void scales_of_eight(const std::byte* from, float d, float least, BlockGroup* groups) {
  for (int i = 0; i < 8; i++) {
    const int j = i % 4, high_scale = byte_at(from, j) >> 6, high_least = byte_at(from, j + 4) >> 6;
    const int rest = byte_at(from, j + 8);
    const int scale = i < 4 ? byte_at(from, j) & 63 : (rest & 15) | high_scale << 4;
    const int minimum = i < 4 ? byte_at(from, j + 4) & 63 : rest >> 4 | high_least << 4;
    groups[i].scale = d * static_cast<float>(scale);
    groups[i].minimum = -(least * static_cast<float>(minimum));
  }
}

/// Byte l of the 32 for groups 2 i and 2 i + 1 has code l of the one in its low nibble.
void split_groups(const std::byte* from, BlockGroup* groups) {
  for (int i = 0; i < 8; i++)
    for (int l = 0; l < 32; l++)
      groups[i].codes[l] = static_cast<uint8_t>(byte_at(from, i / 2 * 32 + l) >> i % 2 * 4 & 15);
}

void unpack_q4_K(const std::byte* block, BlockGroup* groups) {
  scales_of_eight(block + 4, half_at(block), half_at(block + 2), groups);
  split_groups(block + 16, groups);
}

/// As q4_K, with fifth bits [32]: bit i of byte l is column l of group i.
void unpack_q5_K(const std::byte* block, BlockGroup* groups) {
  scales_of_eight(block + 4, half_at(block), half_at(block + 2), groups);
  split_groups(block + 48, groups);
  for (int i = 0; i < 8; i++)
    for (int l = 0; l < 32; l++) {
      uint8_t& code = groups[i].codes[l];
      code = static_cast<uint8_t>(code | (byte_at(block + 16, l) >> i & 1) << 4);
    }
}

/// Four lower bits [128], two upper bits [64], signed scales [16], d. Of 128 columns, those of
/// lower nibbles come first.
void unpack_q6_K(const std::byte* block, BlockGroup* groups) {
  const float d = half_at(block + 208);
  for (int column = 0; column < 256; column++) {
    const int half = column / 128, within = column % 128, quarter = within / 32;
    const int low = byte_at(block, half * 64 + within % 64) >> quarter / 2 * 4 & 15;
    const int high = byte_at(block + 128, half * 32 + within % 32) >> quarter * 2 & 3;
    groups[column / 16].codes[column % 16] = static_cast<uint8_t>(low | high << 4);
  }
  for (int i = 0; i < 16; i++)
    groups[i].scale = d * static_cast<float>(std::bit_cast<int8_t>(block[192 + i]));
}

/// d, two upper bits of eight scales, their four lower bits, codes.
void unpack_iq4_xs(const std::byte* block, BlockGroup* groups) {
  const float d = half_at(block);
  const int upper = load<uint16_t>(block + 2);
  for (int i = 0; i < 8; i++) {
    const int low = byte_at(block + 4, i / 2) >> i % 2 * 4 & 15;
    groups[i].scale = d * static_cast<float>((low | (upper >> 2 * i & 3) << 4) - 32);
    split_nibbles(block + 8 + 16 * i, groups[i].codes);
  }
}

/// In the order of SourceType, after its plain types.
constexpr BlockFormat kFormats[] = {
    {"q4_0", 2, 32, 18, 32, 4, 8, false, nullptr, unpack_q4_0},
    {"q4_1", 3, 32, 20, 32, 4, 0, true, nullptr, unpack_q4_1},
    {"q5_0", 6, 32, 22, 32, 5, 16, false, nullptr, unpack_q5_0},
    {"q5_1", 7, 32, 24, 32, 5, 0, true, nullptr, unpack_q5_1},
    {"q8_0", 8, 32, 34, 32, 8, 128, false, nullptr, unpack_q8_0},
    {"q2_K", 10, 256, 84, 16, 2, 0, true, nullptr, unpack_q2_K},
    {"q3_K", 11, 256, 110, 16, 3, 4, false, nullptr, unpack_q3_K},
    {"q4_K", 12, 256, 144, 32, 4, 0, true, nullptr, unpack_q4_K},
    {"q5_K", 13, 256, 176, 32, 5, 0, true, nullptr, unpack_q5_K},
    {"q6_K", 14, 256, 210, 16, 6, 32, false, nullptr, unpack_q6_K},
    {"iq4_nl", 20, 32, 18, 32, 4, 0, false, kLevels, unpack_q4_0},
    {"iq4_xs", 23, 256, 136, 32, 4, 0, false, kLevels, unpack_iq4_xs},
};
static_assert(std::size(kFormats) == kSourceTypes - kPlainSourceTypes);

}  // namespace

const BlockFormat& block_format(SourceType type) {
  const int index = static_cast<int>(type) - kPlainSourceTypes;
  assert(index >= 0);
  return kFormats[index];
}

std::optional<EncodingRecord> kept_encoding(SourceType type) {
  const BlockFormat& format = block_format(type);
  if (format.group != kGroupColumns) return std::nullopt;
  if (format.levels != nullptr) {
    const std::vector<float> levels(format.levels, format.levels + 16);
    return levels_encoding(levels, kGroupColumns, Element::f16, false);
  }
  return affine_encoding(format.bits, kGroupColumns, Element::f16, false,
                         format.has_minimum ? ZeroKind::minimum_f16 : ZeroKind::constant);
}

void decode_blocks(const BlockFormat& format, const std::byte* in, int64_t columns, float* out) {
  BlockGroup groups[kMaxGroupsOfBlock];
  for (; columns > 0; columns -= format.columns, in += format.bytes) {
    format.unpack(in, groups);
    for (int g = 0; g < format.columns / format.group; g++, out += format.group) {
      const BlockGroup& from = groups[g];
      for (int i = 0; i < format.group; i++) {
        const int code = from.codes[i];
        const int value = format.levels != nullptr ? format.levels[code] : code - format.offset;
        out[i] = from.scale * static_cast<float>(value);
        if (format.has_minimum) out[i] += from.minimum;
      }
    }
  }
}

}  // namespace sqf

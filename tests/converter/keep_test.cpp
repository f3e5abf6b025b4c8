// GGUF blocks against their own formulas, and plain rows against the scalar conversions.
#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <random>
#include <vector>

#include "converter/encode.hpp"
#include "format/scalar.hpp"

namespace sqf {
namespace {

float f16_at(const std::byte* from) {
  uint16_t bits;
  std::memcpy(&bits, from, 2);
  return f16_to_f32(bits);
}

/// Element i of a block, as ggml computes it.
float block_value(BlockType type, const std::byte* block, int i) {
  const float d = f16_at(block);
  if (type == BlockType::q8_0) return d * static_cast<float>(std::bit_cast<int8_t>(block[2 + i]));
  const std::byte* nibbles = block + (type == BlockType::q4_1 ? 4 : 2);
  const int pair = std::to_integer<int>(nibbles[i % 16]);
  const int code = i < 16 ? pair & 15 : pair >> 4;
  if (type == BlockType::q4_0) return d * static_cast<float>(code - 8);
  return d * static_cast<float>(code) + f16_at(block + 2);
}

TEST(Keep, DecodesToTheBlocksOwnValues) {
  std::mt19937 random(1);
  std::uniform_int_distribution<int> byte(0, 255);
  std::uniform_real_distribution<float> real(-0.5f, 0.5f);
  for (const BlockType type : {BlockType::q4_0, BlockType::q4_1, BlockType::q8_0}) {
    const int64_t rows = 21, columns = 96, blocks = columns / 32;
    const EncodingRecord e = kept_encoding(type);
    ASSERT_FALSE(encoding_problem(e));
    std::vector<std::byte> data(static_cast<size_t>(rows * blocks * block_bytes(type)));
    for (std::byte& b : data) b = static_cast<std::byte>(byte(random));
    std::vector<const std::byte*> at;
    for (int64_t row = 0; row < rows; row++) {
      for (int64_t i = 0; i < blocks; i++) {
        // Scales and minimums of any sign, f16 subnormals among them.
        std::byte* block = data.data() + (row * blocks + i) * block_bytes(type);
        const uint16_t scale = f32_to_f16(real(random) * (i == 1 ? 1e-5f : 1.0f));
        const uint16_t minimum = f32_to_f16(real(random));
        std::memcpy(block, &scale, 2);
        if (type == BlockType::q4_1) std::memcpy(block + 2, &minimum, 2);
      }
      at.push_back(data.data() + row * blocks * block_bytes(type));
    }
    PartBuffers part = allocate_part(e, rows, columns);
    const std::span<const std::byte* const> all = at;
    keep_tile(type, all.subspan(0, 16), 0, &part);
    keep_tile(type, all.subspan(16), 1, &part);
    std::vector<float> row(static_cast<size_t>(columns));
    for (int64_t r = 0; r < rows; r++) {
      decode_row(part.view(), r, row.data());
      for (int64_t k = 0; k < columns; k++) {
        const std::byte* block = at[static_cast<size_t>(r)] + k / 32 * block_bytes(type);
        ASSERT_EQ(row[static_cast<size_t>(k)], block_value(type, block, static_cast<int>(k % 32)))
            << describe(e) << " row " << r << " column " << k;
      }
    }
    // Padding rows hold code 0, not the zero point.
    std::vector<uint8_t> codes(static_cast<size_t>(kTileRows * columns));
    unpack_tile(part.view(), 1, codes.data());
    for (size_t i = static_cast<size_t>(5 * columns); i < codes.size(); i++) ASSERT_EQ(codes[i], 0);
  }
}

TEST(StoreRows, MatchesTheScalarConversions) {
  const float w[2][5] = {{1.0f, -0.1f, 65519.0f, 65520.0f, -1e30f},
                         {1e-9f, 0, 3e-8f, -0.0f, 3e38f}};
  for (const Element type : {Element::f32, Element::f16, Element::bf16}) {
    PartBuffers part = allocate_part(real_encoding(type), 3, 5);
    const size_t words = type == Element::f32 ? 5 : 3;
    ASSERT_EQ(part.planes[0].size(), words * 64);
    QuantizeStats stats;
    store_rows(w[0], 1, 2, &part, &stats);
    for (int64_t row = 0; row < 2; row++) {
      float decoded[5];
      decode_row(part.view(), row + 1, decoded);
      for (int k = 0; k < 5; k++) {
        const float x = w[row][k];
        float expected = x;
        if (type == Element::f16)
          expected = std::clamp(f16_to_f32(f32_to_f16(x)), -65504.0f, 65504.0f);
        if (type == Element::bf16) expected = bf16_to_f32(f32_to_bf16(x));
        EXPECT_EQ(std::bit_cast<uint32_t>(decoded[k]), std::bit_cast<uint32_t>(expected));
      }
    }
    EXPECT_EQ(stats.saturated, type == Element::f16 ? 3 : 0);
    EXPECT_EQ(stats.underflowed, type == Element::f16 ? 1 : 0);
    EXPECT_EQ(stats.zero_rows, 0);
    for (size_t i = 0; i < words * 64; i++) {
      const bool stored = i % 64 / 4 == 1 || i % 64 / 4 == 2;  // row 0 was not, nor is padding
      const bool last = type != Element::f32 && i / 64 == 2 && i % 4 >= 2;
      if (!stored || last) {
        EXPECT_EQ(static_cast<int>(part.planes[0][i]), 0) << i;
      }
    }
  }
}

}  // namespace
}  // namespace sqf

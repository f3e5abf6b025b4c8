// Codes carried over, and plain rows against the scalar conversions.
#include <gtest/gtest.h>

#include <bit>
#include <random>
#include <vector>

#include "converter/encode.hpp"
#include "format/scalar.hpp"

namespace sqf {
namespace {

TEST(Keep, PutsCodesWhereTheirRowsAre) {
  std::mt19937 random(1);
  for (const ZeroKind zero : {ZeroKind::constant, ZeroKind::minimum_f16}) {
    const int64_t rows = 21, columns = 96, blocks = columns / 32;
    const EncodingRecord e = affine_encoding(5, 32, Element::f16, false, zero);
    std::vector<KeptGroup> groups(static_cast<size_t>(rows * blocks));
    for (KeptGroup& g : groups) {
      g.scale = f32_to_f16(static_cast<float>(random() % 999) * 1e-5f - 5e-3f);
      g.minimum = f32_to_f16(static_cast<float>(random() % 999) * 1e-4f - 5e-2f);
      for (uint8_t& code : g.codes) code = static_cast<uint8_t>(random() % 32);
    }
    PartBuffers part = allocate_part(e, rows, columns);
    const std::span<const KeptGroup> all = groups;
    keep_tile(all.first(static_cast<size_t>(16 * blocks)), 0, 16, &part);
    keep_tile(all.subspan(static_cast<size_t>(16 * blocks)), 1, 5, &part);
    std::vector<float> row(static_cast<size_t>(columns));
    for (int64_t r = 0; r < rows; r++) {
      decode_row(part.view(), r, row.data());
      for (int64_t k = 0; k < columns; k++) {
        const KeptGroup& g = groups[static_cast<size_t>(r * blocks + k / 32)];
        const float scale = f16_to_f32(g.scale), code = g.codes[k % 32];
        const float expected =
            zero == ZeroKind::constant ? scale * (code - 16) : scale * code + f16_to_f32(g.minimum);
        ASSERT_EQ(row[static_cast<size_t>(k)], expected) << " row " << r << " column " << k;
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

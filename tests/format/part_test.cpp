// The tile: where each digit stands, held to a worked example and to round trips over every
// plane set, ragged shapes and group lengths included.
#include "format/part.hpp"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "tests/format/packed_planes.hpp"

namespace sqf {
namespace {

EncodingRecord with_planes(std::initializer_list<uint16_t> radices, uint32_t group) {
  EncodingRecord e = {};
  e.grid = Grid::affine;
  e.zero = ZeroKind::constant;
  e.scale_type = Element::f32;
  e.group = group;
  for (uint16_t radix : radices) e.radices[e.plane_count++] = radix;
  return e;
}

struct Packed {
  PartView view;
  std::vector<std::vector<std::byte>> planes;
  std::vector<float> scales;
};

Packed pack(const EncodingRecord& e, int64_t rows, int64_t columns,
            const std::vector<uint8_t>& codes) {
  Packed packed;
  packed.planes = packed_planes(e, rows, columns, codes, &packed.view);
  packed.scales.assign(static_cast<size_t>(tiles_of(rows) * kTileRows * grouping(e, columns).count),
                       1);
  packed.view.scales = reinterpret_cast<const std::byte*>(packed.scales.data());
  return packed;
}

// code[row][k] = (3 row + k) mod 32 in 5 bits: worked by hand from the rule that element k of a
// word is digit k div 4 of byte k mod 4.
TEST(Tile, WorkedExample) {
  const EncodingRecord e = affine_encoding(5, 32, Element::f32, false, ZeroKind::constant);
  std::vector<uint8_t> codes(16 * 32);
  for (size_t row = 0; row < 16; row++)
    for (size_t k = 0; k < 32; k++) codes[row * 32 + k] = static_cast<uint8_t>((3 * row + k) % 32);
  const Packed packed = pack(e, 16, 32, codes);
  const auto at = [&](size_t plane, size_t byte) {
    return static_cast<int>(packed.planes[plane][byte]);
  };
  // Row 0, word 0 of the radix-16 plane: codes 0 and 4, 1 and 5, 2 and 6, 3 and 7.
  EXPECT_EQ(at(0, 0), 0x40);
  EXPECT_EQ(at(0, 1), 0x51);
  EXPECT_EQ(at(0, 2), 0x62);
  EXPECT_EQ(at(0, 3), 0x73);
  // Row 1 follows in the same 64 bytes: codes 3 and 7.
  EXPECT_EQ(at(0, 4), 0x73);
  // Word 1 stands 64 bytes on: codes 8 and 12 of row 0.
  EXPECT_EQ(at(0, 64), 0xc8);
  // The radix-2 plane, row 0, byte 0: the fifth bits of codes 0, 4, 8, ... 28.
  EXPECT_EQ(at(1, 0), 0xf0);
  EXPECT_EQ(packed.planes[1].size(), 16u * 4);
}

// By hand: three f16 columns are two words of a row, so row 17 begins behind 2 * 64 bytes.
TEST(Tile, ValuesStandInWords) {
  const ComponentShape shape = value_shape(Element::f16, 2, 18, 3);
  EXPECT_EQ(shape.packing, Packing::tile16_values);
  EXPECT_EQ(shape.rows, 64u);
  EXPECT_EQ(shape.cols, 3u);
  EXPECT_EQ(component_bytes(shape), 64u * 8);
  const ValueLayout half(Element::f16, 18, 3), byte(Element::i8, 18, 7), full(Element::f32, 18, 3);
  EXPECT_EQ(half.offset(0, 1), 2);
  EXPECT_EQ(half.offset(1, 0), 4);
  EXPECT_EQ(half.offset(0, 2), 64);
  EXPECT_EQ(half.offset(17, 2), 128 + 64 + 4);
  EXPECT_EQ(byte.offset(15, 6), 64 + 60 + 2);
  EXPECT_EQ(byte.offset(16, 0), 128);
  EXPECT_EQ(full.offset(2, 1), 64 + 8);
}

TEST(Tile, ValuesOfOneRowStandAlone) {
  const ComponentShape shape = value_shape(Element::bf16, 3, 1, 5);
  EXPECT_EQ(shape.packing, Packing::vector);
  EXPECT_EQ(shape.rows, 3u);
  EXPECT_EQ(component_bytes(shape), 3u * 10);
  EXPECT_EQ(ValueLayout(Element::bf16, 1, 5).offset(0, 4), 8);
}

TEST(Tile, RoundTripsEveryPlaneSet) {
  std::mt19937 random(1);
  const std::vector<std::vector<uint16_t>> sets = {
      {256}, {16}, {4}, {2}, {16, 2}, {16, 4}, {4, 2}, {16, 4, 2}, {2, 2, 2, 2}, {2, 2}, {5}, {3}};
  const struct {
    int64_t rows, columns;
    uint32_t group;
  } shapes[] = {{16, 64, 32},  {37, 100, 32}, {5, 576, 128}, {33, 320, 0},
                {16, 240, 96}, {1, 1, 32},    {17, 33, 64}};
  for (const auto& set : sets) {
    for (auto shape : shapes) {
      EncodingRecord e = with_planes({}, shape.group);
      for (uint16_t radix : set) e.radices[e.plane_count++] = radix;
      ASSERT_FALSE(encoding_problem(e));
      std::uniform_int_distribution<int> code(0, static_cast<int>(code_count(e)) - 1);
      std::vector<uint8_t> codes(static_cast<size_t>(shape.rows * shape.columns));
      for (uint8_t& c : codes) c = static_cast<uint8_t>(code(random));
      const Packed packed = pack(e, shape.rows, shape.columns, codes);
      std::vector<float> tile(static_cast<size_t>(kTileRows * shape.columns)),
          row(static_cast<size_t>(shape.columns));
      for (int64_t r = 0; r < shape.rows; r++) {
        decode_tile(packed.view, r / kTileRows, tile.data());
        decode_row(packed.view, r, row.data());
        for (int64_t k = 0; k < shape.columns; k++) {
          ASSERT_EQ(row[static_cast<size_t>(k)], codes[static_cast<size_t>(r * shape.columns + k)])
              << describe(e) << " row " << r << " column " << k;
          ASSERT_EQ(row[static_cast<size_t>(k)],
                    tile[static_cast<size_t>(r % kTileRows * shape.columns + k)]);
        }
      }
    }
  }
}

TEST(Tile, GroupOfSixteen) {
  for (const uint16_t radix : {uint16_t{16}, uint16_t{256}}) {
    const EncodingRecord e = with_planes({radix}, 16);
    EXPECT_FALSE(encoding_problem(e));
    EXPECT_EQ(words_per_row(e, radix, 48), 48 / (4 * digits_per_byte(radix)));
  }
  EXPECT_TRUE(encoding_problem(with_planes({4}, 16)));
  EXPECT_TRUE(encoding_problem(with_planes({16, 2}, 16)));
}

TEST(Encoding, RefusesWhatHasNoMeaning) {
  const auto refused = [](EncodingRecord e) { return encoding_problem(e).value_or("accepted"); };
  EXPECT_EQ(refused(with_planes({2, 4}, 32)), "planes are not ordered widest radix first");
  EXPECT_EQ(refused(with_planes({3, 3}, 32)), "radix 3 is not the only plane");
  EXPECT_EQ(refused(with_planes({7}, 32)), "unknown radix 7");
  EXPECT_EQ(refused(with_planes({16}, 33)), "group 33 is no multiple of 32");
  EXPECT_EQ(refused(with_planes({}, 32)), "no code plane");
  EncodingRecord e = with_planes({16}, 32);
  e.zero_constant = 16;
  EXPECT_EQ(refused(e), "zero constant 16");
  e = affine_encoding(5, 32, Element::u8, true, ZeroKind::u4);
  EXPECT_EQ(refused(e), "u4 zeros on codes of more than 4 bits");
  e = with_planes({5}, 30);
  e.grid = Grid::levels;
  e.zero = ZeroKind::none;
  e.level_count = 5;
  EXPECT_EQ(refused(e), "accepted");
  e.level_count = 6;
  EXPECT_EQ(refused(e), "more levels than codes");
  e.radices[0] = 256;
  e.group = 32;
  EXPECT_EQ(refused(e), "codes that no level table holds");
  e = real_encoding(Element::f16);
  EXPECT_EQ(refused(e), "accepted");
  e.group = 32;
  EXPECT_EQ(refused(e), "planes, scales, zeros or groups on the real grid");
}

TEST(Encoding, EveryWidthHasItsPlanes) {
  for (int bits = 1; bits <= 8; bits++) {
    const EncodingRecord e = affine_encoding(bits, 32, Element::f16, false, ZeroKind::u8);
    EXPECT_FALSE(encoding_problem(e)) << bits;
    EXPECT_EQ(code_count(e), 1u << bits);
  }
}

}  // namespace
}  // namespace sqf

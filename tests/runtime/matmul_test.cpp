// The kernels: the scalar one against sums in f64 of what decode_tile says, the others against the
// scalar one bit by bit, over every width, scale type, zero kind and ragged shape.
#include "runtime/cpu/matmul.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "tests/runtime/packed_part.hpp"

namespace sqf {
namespace {

constexpr float kUntouched = -12345.0f;

std::vector<Isa> vector_isas() {
  std::vector<Isa> isas;
  if (detected_isa() >= Isa::avx2) isas.push_back(Isa::avx2);
  if (detected_isa() >= Isa::avx512_vnni) isas.push_back(Isa::avx512_vnni);
  return isas;
}

std::vector<float> random_values(int64_t count, std::mt19937* random) {
  std::normal_distribution<float> normal(0, 1);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& v : values) v = normal(*random);
  return values;
}

struct Shape {
  int64_t rows, columns, tokens;
};

/// [token][stride] with a column past the rows that must stay untouched.
std::vector<float> product(Isa isa, const PackedPart& part, const std::vector<float>& x,
                           int64_t tokens) {
  const int64_t stride = part.view.rows + 3;
  QuantizedInput input;
  quantize_input(isa, x.data(), tokens, part.view.columns, part.view.encoding.group, &input);
  std::vector<float> y(static_cast<size_t>(tokens * stride), kUntouched);
  // Two ranges, the first of an odd number of tiles where there are enough.
  const int64_t tiles = tiles_of(part.view.rows), middle = std::min<int64_t>(tiles, 1);
  matmul(isa, part.view, input, 0, middle, y.data(), stride);
  matmul(isa, part.view, input, middle, tiles, y.data(), stride);
  return y;
}

void expect_same_bits(const std::vector<float>& got, const std::vector<float>& want,
                      const std::string& what) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); i++)
    ASSERT_EQ(std::bit_cast<uint32_t>(got[i]), std::bit_cast<uint32_t>(want[i]))
        << what << " at " << i << ": " << got[i] << " and " << want[i];
}

/// Every fma rounds once: relative 2^-24 of a partial sum no larger than the sum of magnitudes;
/// scale * x_scale and float(dot) add two such errors to each term, w itself up to three.
void expect_close(const PackedPart& part, const QuantizedInput& input, const std::vector<float>& y,
                  const std::string& what) {
  const PartView& view = part.view;
  const int64_t stride = view.rows + 3;
  std::vector<float> tile(static_cast<size_t>(kTileRows * view.columns));
  for (int64_t row = 0; row < view.rows; row++) {
    if (row % kTileRows == 0) decode_tile(view, row / kTileRows, tile.data());
    for (int64_t token = 0; token < input.tokens; token++) {
      double sum = 0, magnitude = 0;
      for (int64_t k = 0; k < view.columns; k++) {
        const int64_t s = k / input.segment;
        const int8_t q =
            input.q[token * input.stride + s * input.segment_slots + (k - s * input.segment)];
        const double x = static_cast<double>(input.scales[token * input.segments + s]) * q;
        const double w = tile[static_cast<size_t>(row % kTileRows * view.columns + k)];
        sum += w * x;
        magnitude += std::abs(w * x);
        if (view.encoding.zero == ZeroKind::minimum_f16) {
          // code and minimum are separate terms there, each larger than their sum
          const GroupParameters p = group_parameters(view, row, view.encoding.group == 0 ? 0 : s);
          magnitude += 2 * std::abs(p.minimum * x);
        }
      }
      const double bound =
          static_cast<double>(2 * input.segments + 6) * 0x1p-24 * magnitude + 1e-30;
      ASSERT_NEAR(y[static_cast<size_t>(token * stride + row)], sum, bound)
          << what << " row " << row << " token " << token;
    }
  }
}

void check(const EncodingRecord& e, Shape shape) {
  std::mt19937 random(static_cast<uint32_t>(shape.columns * 31 + shape.tokens));
  const std::string what = describe(e) + " " + std::to_string(shape.rows) + "x" +
                           std::to_string(shape.columns) + " tokens " +
                           std::to_string(shape.tokens);
  ASSERT_FALSE(encoding_problem(e)) << what << ": " << *encoding_problem(e);
  ASSERT_TRUE(has_integer_kernel(e)) << what;
  const PackedPart part = random_part(e, shape.rows, shape.columns, &random);
  const std::vector<float> x = random_values(shape.columns * shape.tokens, &random);
  const std::vector<float> reference = product(Isa::scalar, part, x, shape.tokens);
  for (int64_t token = 0; token < shape.tokens; token++)
    for (int64_t i = 0; i < 3; i++)
      ASSERT_EQ(reference[static_cast<size_t>(token * (shape.rows + 3) + shape.rows + i)],
                kUntouched);
  QuantizedInput input;
  quantize_input(Isa::scalar, x.data(), shape.tokens, shape.columns, e.group, &input);
  expect_close(part, input, reference, what);
  for (Isa isa : vector_isas())
    expect_same_bits(product(isa, part, x, shape.tokens), reference, isa_name(isa) + (" " + what));
}

constexpr std::array kScaleTypes = {Element::f32,  Element::f16,  Element::bf16,
                                    Element::e8m0, Element::e4m3, Element::u8};
constexpr std::array kZeroKinds = {ZeroKind::constant, ZeroKind::u4, ZeroKind::u8,
                                   ZeroKind::minimum_f16};

TEST(Matmul, EveryWidthAndZeroKind) {
  for (int bits = 1; bits <= 8; bits++) {
    for (ZeroKind zero : kZeroKinds) {
      if (zero == ZeroKind::u4 && bits > 4) continue;
      for (uint32_t group : {0u, 32u, 64u, 128u}) {
        const EncodingRecord e = affine_encoding(bits, group, Element::u8, true, zero);
        for (int64_t tokens : {1, 2, 7}) check(e, {37, 100, tokens});
      }
    }
  }
}

TEST(Matmul, EveryScaleType) {
  for (Element scale : kScaleTypes)
    for (bool row_factor : {false, true})
      for (ZeroKind zero : kZeroKinds) {
        check(affine_encoding(4, 32, scale, row_factor, zero), {33, 128, 1});
        check(affine_encoding(3, 32, scale, row_factor, zero), {33, 128, 9});
      }
}

TEST(Matmul, GroupOfSixteen) {
  for (int bits : {4, 8})
    for (ZeroKind zero : {ZeroKind::constant, ZeroKind::u8})
      for (int64_t columns : {1, 8, 16, 32, 48, 100, 112, 528, 560})
        for (int64_t tokens : {1, 3, 8})
          check(affine_encoding(bits, 16, Element::f16, false, zero), {20, columns, tokens});
}

TEST(Matmul, RaggedColumns) {
  for (int bits = 1; bits <= 8; bits++)
    for (uint32_t group : {0u, 32u, 64u, 96u})
      // 16 columns in the last group: planes of wide radix end in the middle of a block.
      for (int64_t columns : {1, 16, 33, 48, 80, 100, 112, 576, 1040})
        for (int64_t tokens : {1, 5})
          check(affine_encoding(bits, group, Element::f16, false, ZeroKind::u8),
                {17, columns, tokens});
}

TEST(Matmul, EveryTokenCount) {
  for (int bits : {4, 5, 8})
    for (int64_t tokens = 1; tokens <= 33; tokens++)
      check(affine_encoding(bits, 32, Element::u8, true, ZeroKind::u8), {50, 96, tokens});
}

TEST(Matmul, ManyTokensTakeSeveralBlocks) {
  check(affine_encoding(4, 32, Element::u8, true, ZeroKind::u4), {40, 1600, 400});
  check(affine_encoding(7, 0, Element::f32, false, ZeroKind::minimum_f16), {24, 5000, 130});
}

TEST(Matmul, EveryRowCount) {
  for (int64_t rows = 1; rows <= 35; rows++) {
    check(affine_encoding(4, 32, Element::u8, true, ZeroKind::u4), {rows, 64, 1});
    check(affine_encoding(4, 32, Element::u8, true, ZeroKind::u4), {rows, 64, 6});
  }
}

TEST(Matmul, SumsOfPlanesOfTheirOwn) {
  const std::vector<std::vector<uint16_t>> sets = {{2, 2},   {2, 2, 2, 2, 2},  {4, 4, 4, 4},
                                                   {16, 16}, {16, 2, 2, 2, 2}, {4, 2, 2}};
  for (const auto& set : sets) {
    EncodingRecord e = affine_encoding(1, 64, Element::f16, false, ZeroKind::u8);
    e.plane_count = 0;
    for (uint16_t radix : set) e.radices[e.plane_count++] = radix;
    for (int64_t columns : {32, 80, 200})
      for (int64_t tokens : {1, 4}) check(e, {19, columns, tokens});
  }
}

// The largest sums there are: 8-bit codes, zero points at the ends, all activations equal.
TEST(Matmul, NothingOverflows) {
  for (const int64_t columns : {32768, 40000, 70000}) {
    EncodingRecord e = affine_encoding(8, 0, Element::f32, false, ZeroKind::u8);
    std::mt19937 random(1);
    PackedPart part = random_part(e, 16, columns, &random);
    const std::vector<std::byte> ends = {std::byte{0}, std::byte{255}};
    for (size_t i = 0; i < part.zeros.size(); i++) part.zeros[i] = ends[i % 2];
    for (const std::byte code : ends) {
      std::fill(part.planes[0].begin(), part.planes[0].end(), code);
      for (const float value : {1.0f, -1.0f}) {
        const std::vector<float> x(static_cast<size_t>(columns * 2), value);
        const std::vector<float> y = product(Isa::scalar, part, x, 2);
        for (size_t row = 0; row < 16; row++) {
          const int difference = static_cast<int>(code) - static_cast<int>(part.zeros[row]);
          float scale;
          std::memcpy(&scale, part.scales.data() + row * 4, 4);
          const double want =
              static_cast<double>(scale) * difference * value * static_cast<double>(columns);
          ASSERT_NEAR(y[row], want, std::abs(want) * 0x1p-21);
        }
        for (Isa isa : vector_isas()) expect_same_bits(product(isa, part, x, 2), y, isa_name(isa));
      }
    }
  }
}

// The same for the 16-bit sums that AVX2 takes several products into: every code the largest of
// its width, every q 127 or -127.
TEST(Matmul, NothingSaturates) {
  for (int bits = 1; bits <= 8; bits++) {
    for (uint32_t group : {0u, 32u}) {
      const EncodingRecord e = affine_encoding(bits, group, Element::u8, false, ZeroKind::u8);
      std::mt19937 random(1);
      PackedPart part = random_part(e, 16, 256, &random);
      for (auto& plane : part.planes) std::fill(plane.begin(), plane.end(), std::byte{0xff});
      std::fill(part.zeros.begin(), part.zeros.end(), std::byte{0});
      std::fill(part.scales.begin(), part.scales.end(), std::byte{1});
      for (const int64_t tokens : {1, 2, 7}) {
        for (const float value : {127.0f, -127.0f}) {
          const std::vector<float> x(static_cast<size_t>(256 * tokens), value);
          std::vector<Isa> isas = vector_isas();
          isas.push_back(Isa::scalar);
          const float want = 256 * value * static_cast<float>((1 << bits) - 1);
          for (Isa isa : isas)
            for (size_t row = 0; row < 16; row++)
              ASSERT_EQ(product(isa, part, x, tokens)[row], want) << isa_name(isa) << " " << bits;
        }
      }
    }
  }
}

TEST(Matmul, ZeroInputsAndNotANumber) {
  std::mt19937 random(1);
  const PackedPart part =
      random_part(affine_encoding(4, 32, Element::u8, true, ZeroKind::u4), 20, 100, &random);
  std::vector<float> x(200, 0.0f);
  std::vector<Isa> isas = vector_isas();
  isas.push_back(Isa::scalar);
  for (Isa isa : isas) {
    const std::vector<float> y = product(isa, part, x, 2);
    for (size_t row = 0; row < 20; row++) EXPECT_EQ(y[row], 0);
  }
  x[150] = std::nanf("");
  for (Isa isa : isas) {
    const std::vector<float> y = product(isa, part, x, 2);
    for (size_t row = 0; row < 20; row++) {
      EXPECT_EQ(y[row], 0);
      EXPECT_TRUE(std::isnan(y[23 + row]));
    }
  }
}

/// A part of the real grid; the padding of its words and tiles is not zero on purpose.
PackedPart real_part(Element type, int64_t rows, int64_t columns, std::mt19937* random) {
  PackedPart part;
  part.view.encoding = real_encoding(type);
  part.view.rows = rows;
  part.view.columns = columns;
  const auto n = static_cast<uint64_t>(rows), k = static_cast<uint64_t>(columns);
  part.planes.emplace_back(component_bytes(value_shape(type, 1, n, k)), std::byte{0x3c});
  std::vector<std::byte>& out = part.planes[0];
  const ValueLayout layout(type, rows, columns);
  for (int64_t row = 0; row < rows; row++) {
    int64_t column = 0;
    for (float value : random_values(columns, random)) {
      std::byte* at = out.data() + layout.offset(row, column++);
      const uint16_t half = type == Element::f16 ? f32_to_f16(value) : f32_to_bf16(value);
      if (type == Element::f32)
        std::memcpy(at, &value, 4);
      else
        std::memcpy(at, &half, 2);
    }
  }
  part.view.planes[0] = out.data();
  return part;
}

void check_f32(const PackedPart& part, int64_t tokens, std::mt19937* random) {
  const PartView& view = part.view;
  const int64_t x_stride = view.columns + 5, stride = view.rows + 3;
  const std::vector<float> x = random_values(tokens * x_stride, random);
  const auto run = [&](Isa isa) {
    std::vector<float> y(static_cast<size_t>(tokens * stride), kUntouched);
    const int64_t tiles = tiles_of(view.rows), middle = tiles / 2;
    matmul_f32(isa, view, x.data(), tokens, x_stride, 0, middle, y.data(), stride);
    matmul_f32(isa, view, x.data(), tokens, x_stride, middle, tiles, y.data(), stride);
    return y;
  };
  const std::string what = describe(view.encoding);
  const std::vector<float> y = run(Isa::scalar);
  std::vector<float> row(static_cast<size_t>(view.columns));
  for (int64_t r = 0; r < view.rows; r++) {
    decode_row(view, r, row.data());
    for (int64_t t = 0; t < tokens; t++) {
      double sum = 0, magnitude = 0;
      for (int64_t k = 0; k < view.columns; k++) {
        const double term = static_cast<double>(row[static_cast<size_t>(k)]) *
                            x[static_cast<size_t>(t * x_stride + k)];
        sum += term;
        magnitude += std::abs(term);
      }
      // Each of four chains rounds once per column of its own, then two sums of them.
      const double bound = static_cast<double>(view.columns / 4 + 4) * 0x1p-24 * magnitude;
      ASSERT_NEAR(y[static_cast<size_t>(t * stride + r)], sum, bound + 1e-30) << what;
    }
  }
  for (int64_t t = 0; t < tokens; t++)
    ASSERT_EQ(y[static_cast<size_t>(t * stride + view.rows)], kUntouched);
  for (Isa isa : vector_isas()) expect_same_bits(run(isa), y, isa_name(isa) + (" " + what));
}

TEST(MatmulF32, RealRows) {
  std::mt19937 random(1);
  for (Element type : {Element::f32, Element::f16, Element::bf16})
    for (int64_t columns : {1, 2, 3, 4, 16, 36, 63, 64, 101, 576})
      for (int64_t rows : {1, 2, 35, 48})
        for (int64_t tokens : {1, 2, 4, 5, 7, 19})
          check_f32(real_part(type, rows, columns, &random), tokens, &random);
}

/// More than what is brought to f32 at a time.
TEST(MatmulF32, LongRows) {
  std::mt19937 random(5);
  for (int64_t tokens : {1, 8})
    check_f32(real_part(Element::f16, 100, 1535, &random), tokens, &random);
  check_f32(
      random_part(affine_encoding(3, 32, Element::u8, true, ZeroKind::u4), 100, 1500, &random), 8,
      &random);
}

TEST(MatmulF32, CodedTiles) {
  std::mt19937 random(1);
  EncodingRecord minifloat = affine_encoding(4, 32, Element::e8m0, false, ZeroKind::none);
  minifloat.grid = Grid::minifloat;
  minifloat.minifloat = MinifloatKind::saturating;
  minifloat.exponent_bits = 2;
  minifloat.mantissa_bits = 1;
  minifloat.exponent_bias = 1;
  EncodingRecord levels = affine_encoding(1, 60, Element::f16, false, ZeroKind::none);
  levels.grid = Grid::levels;
  levels.radices[0] = 3;
  levels.level_count = 3;
  levels.levels = {-1, 0, 1};
  const EncodingRecord affine = affine_encoding(3, 32, Element::u8, true, ZeroKind::u4);
  for (const EncodingRecord& e : {minifloat, levels, affine}) {
    ASSERT_FALSE(encoding_problem(e)) << *encoding_problem(e);
    for (int64_t tokens : {1, 5}) check_f32(random_part(e, 37, 100, &random), tokens, &random);
  }
}

TEST(Matmul, WhatHasAnIntegerKernel) {
  for (int bits = 1; bits <= 8; bits++)
    EXPECT_TRUE(has_integer_kernel(affine_encoding(bits, 32, Element::f16, false, ZeroKind::u8)));
  EXPECT_FALSE(has_integer_kernel(real_encoding(Element::f16)));
  EncodingRecord e = affine_encoding(1, 60, Element::f16, false, ZeroKind::u8);
  e.radices[0] = 3;
  EXPECT_FALSE(has_integer_kernel(e));
  EXPECT_FALSE(has_integer_kernel(affine_encoding(4, 65536, Element::f16, false, ZeroKind::u8)));
  e = affine_encoding(4, 32, Element::f16, false, ZeroKind::none);
  e.grid = Grid::minifloat;
  EXPECT_FALSE(has_integer_kernel(e));
}

}  // namespace
}  // namespace sqf

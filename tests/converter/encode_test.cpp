// Quantized tiles against what the format promises: within half a step by plain range, no more
// error by search, exact where the weights can be stored exactly, sane at the ends of f32.
#include "converter/encode.hpp"

#include <gtest/gtest.h>

#include <cfloat>
#include <cmath>
#include <random>
#include <vector>

#include "format/scalar.hpp"

namespace sqf {
namespace {

constexpr Element kScaleTypes[] = {Element::f32,  Element::f16,  Element::bf16,
                                   Element::e8m0, Element::e4m3, Element::u8};
constexpr ZeroKind kZeroKinds[] = {ZeroKind::constant, ZeroKind::u4, ZeroKind::u8,
                                   ZeroKind::minimum_f16};

struct Shape {
  int64_t rows, columns;
};

/// Heavy tails, and a different spread and offset in each row.
std::vector<float> weights(Shape shape, float size, uint32_t seed = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> w(static_cast<size_t>(shape.rows * shape.columns));
  float spread = 1, offset = 0;
  for (size_t i = 0; i < w.size(); i++) {
    if (i % static_cast<size_t>(shape.columns) == 0) {
      spread = size * std::exp(0.5f * normal(random));
      offset = 0.2f * spread * normal(random);
    }
    const float x = normal(random);
    w[i] = spread * x * std::sqrt(1 + 0.2f * x * x) + offset;
  }
  return w;
}

PartBuffers quantize(const EncodingRecord& e, Shape shape, const std::vector<float>& w,
                     const QuantizeOptions& options, QuantizeStats* stats) {
  EXPECT_FALSE(encoding_problem(e)) << *encoding_problem(e);
  PartBuffers part = allocate_part(e, shape.rows, shape.columns);
  for (int64_t tile = 0; tile < tiles_of(shape.rows); tile++)
    quantize_tile(w.data() + tile * kTileRows * shape.columns, tile,
                  std::min<int64_t>(kTileRows, shape.rows - tile * kTileRows), options, &part,
                  stats);
  return part;
}

std::vector<float> decode(const PartBuffers& part) {
  std::vector<float> out(static_cast<size_t>(part.rows * part.columns));
  for (int64_t row = 0; row < part.rows; row++)
    decode_row(part.view(), row, out.data() + row * part.columns);
  return out;
}

double weighted_error(const std::vector<float>& w, const std::vector<float>& decoded,
                      const std::vector<float>& weight) {
  double sum = 0;
  for (size_t i = 0; i < w.size(); i++) {
    const double off = static_cast<double>(w[i]) - static_cast<double>(decoded[i]);
    sum += off * off * static_cast<double>(weight[i % weight.size()]);
  }
  return sum;
}

/// Visits every encoding that quantize_tile is for.
template <typename Visit>
void each_encoding(Visit visit) {
  for (int bits = 1; bits <= 8; bits++)
    for (const uint32_t group : {16u, 32u, 64u, 96u, 128u, 0u})
      for (const Element type : kScaleTypes)
        for (const ZeroKind zero : kZeroKinds)
          for (const bool row_factor : {false, true}) {
            const EncodingRecord e = affine_encoding(bits, group, type, row_factor, zero);
            if (!encoding_problem(e)) visit(e, bits);
          }
}

/// A u8 scale without a row factor is one of 1..255: weights for scales around 20.
float size_for(const EncodingRecord& e) {
  return e.row_factor || e.scale_type != Element::u8 ? 0.1f
                                                     : 2 * static_cast<float>(code_count(e) - 1);
}

void expect_half_step(const EncodingRecord& e, Shape shape) {
  const std::vector<float> w = weights(shape, size_for(e));
  QuantizeStats stats;
  const PartBuffers part = quantize(e, shape, w, {Range::minmax, nullptr}, &stats);
  const std::vector<float> decoded = decode(part);
  const Grouping groups = grouping(e, shape.columns);
  const float top = static_cast<float>(code_count(e) - 1);
  for (int64_t row = 0; row < shape.rows; row++)
    for (int64_t k = 0; k < shape.columns; k++) {
      const size_t at = static_cast<size_t>(row * shape.columns + k);
      const GroupParameters p = group_parameters(part.view(), row, k / groups.length);
      // Scales within 2^-18 above a rung count as on it; the rest is f32 rounding.
      const float allowed =
          p.scale * (0.5f + top * 0x1p-17f) + 0x1p-21f * (std::fabs(w[at]) + std::fabs(p.minimum));
      ASSERT_LE(std::fabs(w[at] - decoded[at]), allowed)
          << describe(e) << " row " << row << " column " << k << " of " << shape.columns;
    }
  EXPECT_EQ(stats.saturated, 0) << describe(e);
  EXPECT_EQ(stats.underflowed, 0) << describe(e);
  const double error = weighted_error(w, decoded, {1.0f});
  EXPECT_NEAR(stats.squared_error, error, 1e-4 * error + 1e-12 * stats.energy) << describe(e);
}

TEST(Encode, PlainRangeStaysWithinHalfAStep) {
  each_encoding([](const EncodingRecord& e, int bits) {
    // One symmetric bit has no code above its zero.
    if (bits == 1 && e.zero == ZeroKind::constant) return;
    for (const Shape shape : {Shape{37, 100}, {16, 256}, {3, 33}, {1, 1}})
      expect_half_step(e, shape);
  });
}

TEST(Encode, SearchIsNoWorseThanThePlainRange) {
  each_encoding([](const EncodingRecord& e, int) {
    const Shape shape = {21, 200};
    const std::vector<float> w = weights(shape, size_for(e), 2);
    QuantizeStats plain, searched;
    quantize(e, shape, w, {Range::minmax, nullptr}, &plain);
    const PartBuffers part = quantize(e, shape, w, {Range::search, nullptr}, &searched);
    EXPECT_LE(searched.squared_error, plain.squared_error) << describe(e);
    EXPECT_NEAR(searched.energy, plain.energy, 1e-5 * plain.energy);
    const double error = weighted_error(w, decode(part), {1.0f});
    EXPECT_NEAR(searched.squared_error, error, 1e-4 * error + 1e-12 * plain.energy) << describe(e);
  });
}

TEST(Encode, SearchGainsWhereItShould) {
  const Shape shape = {64, 512};
  const std::vector<float> w = weights(shape, 0.05f, 3);
  const struct {
    EncodingRecord e;
    double at_most;  // of the plain range's squared error
  } cases[] = {
      {affine_encoding(4, 32, Element::u8, true, ZeroKind::u4), 0.93},
      {affine_encoding(4, 32, Element::f16, false, ZeroKind::constant), 0.85},
      {affine_encoding(4, 32, Element::f16, false, ZeroKind::minimum_f16), 0.85},
      {affine_encoding(3, 32, Element::u8, true, ZeroKind::u4), 0.90},
      {affine_encoding(2, 32, Element::u8, true, ZeroKind::u4), 0.75},
      {affine_encoding(1, 32, Element::f16, false, ZeroKind::minimum_f16), 0.25},
      {affine_encoding(4, 0, Element::f32, false, ZeroKind::u8), 0.85},
  };
  for (const auto& c : cases) {
    QuantizeStats plain, searched;
    quantize(c.e, shape, w, {Range::minmax, nullptr}, &plain);
    quantize(c.e, shape, w, {Range::search, nullptr}, &searched);
    EXPECT_LT(searched.squared_error, c.at_most * plain.squared_error) << describe(c.e);
  }
}

TEST(Encode, ImportanceMovesTheErrorToColumnsThatMatterLess) {
  const Shape shape = {32, 256};
  const std::vector<float> w = weights(shape, 0.05f, 4);
  std::vector<float> importance(256);
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  for (float& x : importance) x = std::exp(1.5f * normal(random));
  for (const EncodingRecord& e :
       {affine_encoding(4, 32, Element::u8, true, ZeroKind::u4),
        affine_encoding(3, 64, Element::f16, false, ZeroKind::constant),
        affine_encoding(2, 32, Element::f16, false, ZeroKind::minimum_f16)}) {
    QuantizeStats a, b;
    const auto even = decode(quantize(e, shape, w, {Range::search, nullptr}, &a));
    const auto skewed = decode(quantize(e, shape, w, {Range::search, importance.data()}, &b));
    EXPECT_LT(weighted_error(w, skewed, importance), 0.95 * weighted_error(w, even, importance))
        << describe(e);
    EXPECT_GT(b.squared_error, a.squared_error) << describe(e);
  }
}

TEST(Encode, UnusedColumnsDoNotMatter) {
  const Shape shape = {16, 64};
  const std::vector<float> w = weights(shape, 0.05f, 6);
  const std::vector<float> none(64, 0.0f);
  QuantizeStats plain, searched;
  const EncodingRecord e = affine_encoding(4, 32, Element::f16, false, ZeroKind::u4);
  const auto a = quantize(e, shape, w, {Range::minmax, nullptr}, &plain);
  const auto b = quantize(e, shape, w, {Range::search, none.data()}, &searched);
  EXPECT_EQ(decode(a), decode(b));
}

/// A part whose every group uses both its end codes and every row its largest scale, so that its
/// decoded weights determine it.
std::vector<float> storable(const EncodingRecord& e, Shape shape) {
  std::mt19937 random(7);
  const int top = static_cast<int>(code_count(e)) - 1;
  std::uniform_int_distribution<int> code(0, top), rung(1, 8);
  std::vector<float> w(static_cast<size_t>(shape.rows * shape.columns));
  const Grouping groups = grouping(e, shape.columns);
  for (int64_t row = 0; row < shape.rows; row++)
    for (int64_t group = 0; group < groups.count; group++) {
      const int step = group == 0 ? 8 : rung(random);
      float scale = static_cast<float>(step) * 0x1p-8f;
      if (e.scale_type == Element::e8m0) scale = std::exp2(static_cast<float>(step) - 12);
      if (e.scale_type == Element::u8 && e.row_factor)
        scale = (group == 0 ? 255.0f : static_cast<float>(31 * step)) * 0x1p-12f;
      if (e.scale_type == Element::e4m3 && e.row_factor)
        scale = e4m3_to_f32(static_cast<uint8_t>(0x7e - 5 * (8 - step))) * 0x1p-12f;
      const float minimum = static_cast<float>(-rung(random)) / 8;
      const int zero =
          e.zero == ZeroKind::constant ? static_cast<int>(e.zero_constant) : code(random);
      for (int64_t i = 0; i < groups.size(group); i++) {
        const int c = i == 0 ? 0 : i == 1 ? top : code(random);
        w[static_cast<size_t>(row * shape.columns + groups.begin(group) + i)] =
            e.zero == ZeroKind::minimum_f16 ? scale * static_cast<float>(c) + minimum
                                            : scale * static_cast<float>(c - zero);
      }
    }
  return w;
}

TEST(Encode, StoresExactlyWhatItCan) {
  each_encoding([](const EncodingRecord& e, int bits) {
    if (bits == 1 && e.zero == ZeroKind::constant) return;
    if (e.scale_type == Element::u8 && !e.row_factor) return;  // scales above are fractions
    const Shape shape = {18, 100};
    const std::vector<float> w = storable(e, shape);
    for (const Range range : {Range::minmax, Range::search}) {
      QuantizeStats stats, again;
      const PartBuffers part = quantize(e, shape, w, {range, nullptr}, &stats);
      const std::vector<float> decoded = decode(part);
      for (size_t i = 0; i < w.size(); i++)
        ASSERT_NEAR(decoded[i], w[i], 0x1p-20f * std::fabs(w[i]) + 0x1p-20f)
            << describe(e) << " search " << (range == Range::search);
      // A second time round, the same bytes; a scale of f32 may still move by a last bit.
      if (e.scale_type == Element::f32) continue;
      const PartBuffers second = quantize(e, shape, decoded, {range, nullptr}, &again);
      ASSERT_EQ(part.planes, second.planes) << describe(e);
      ASSERT_EQ(part.scales, second.scales) << describe(e);
      ASSERT_EQ(part.zeros, second.zeros) << describe(e);
    }
  });
}

TEST(Encode, PaddingIsZeroBytes) {
  // 5 rows of a symmetric encoding: codes of real zeros are 8, those of padding rows 0.
  const EncodingRecord e = affine_encoding(4, 32, Element::f16, false, ZeroKind::constant);
  QuantizeStats stats;
  const PartBuffers part =
      quantize(e, {5, 40}, std::vector<float>(200, 0.0f), {Range::search, nullptr}, &stats);
  std::vector<uint8_t> codes(16 * 40);
  unpack_tile(part.view(), 0, codes.data());
  for (size_t i = 0; i < codes.size(); i++) EXPECT_EQ(codes[i], i < 200 ? 8 : 0);
  // Columns 40..63 of row 0: half of word 5 on, in the plane's own order.
  for (size_t word = 5; word < 8; word++)
    for (size_t byte = 0; byte < 4; byte++)
      EXPECT_EQ(static_cast<int>(part.planes[0][word * 64 + byte]), 0);
  for (const std::byte b : part.scales) EXPECT_EQ(static_cast<int>(b), 0);
  EXPECT_EQ(stats.zero_rows, 5);
}

}  // namespace
}  // namespace sqf

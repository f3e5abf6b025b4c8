// Every grid that has a name, and tables of one's own, against the specification's formula in
// double: each code the nearest that may be written, whatever holds the scales.
#include "converter/grids.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cfloat>
#include <cmath>
#include <random>
#include <vector>

#include "converter/encode.hpp"
#include "converter/quant_spec.hpp"
#include "format/scalar.hpp"
#include "format/writer.hpp"
#include "loader/model_file.hpp"
#include "tests/converter/inputs.hpp"

namespace sqf {
namespace {

constexpr Element kScaleTypes[] = {Element::f32,  Element::f16,  Element::bf16,
                                   Element::e8m0, Element::e4m3, Element::u8};
// Lopsided, of one sign, of a number of levels that leaves codes unused.
constexpr const char* kTables[] = {
    "levels:-1/-0.25/0.5/2", "levels:1/2/4", "levels:-3/-2/-0.5/0/0.75/1",
    "levels:0/1/2/3",        "levels:-4/-1", "levels:-1e30/-1e20/0/1e25/1e30",
    "levels:-3e-30/0/1e-30", "levels:-8/8.5"};

constexpr const char* kMeta =
    R"({"format":{"spec":"1.0","writer":"test"},"model":{},"quantization":{},"source":{}})";

struct Shape {
  int64_t rows, columns;
};

/// What a code stands for; NaN if it may never be written: special, unused, or another -0.
double code_value(const EncodingRecord& e, uint32_t code) {
  if (e.grid == Grid::levels)
    return code < e.level_count ? static_cast<double>(e.levels[code]) : std::nan("");
  const uint32_t sign = code >> (e.exponent_bits + e.mantissa_bits);
  const uint32_t exponent = code >> e.mantissa_bits & ((1u << e.exponent_bits) - 1);
  const uint32_t mantissa = code & ((1u << e.mantissa_bits) - 1);
  const bool ocp = e.minifloat == MinifloatKind::ocp;
  if (ocp && e.exponent_bits == 5 && exponent == 31) return std::nan("");
  if (ocp && e.exponent_bits == 4 && exponent == 15 && mantissa == 7) return std::nan("");
  if (sign && exponent == 0 && mantissa == 0) return std::nan("");
  const double size = exponent == 0 ? mantissa : mantissa + std::exp2(e.mantissa_bits);
  const double unit = std::exp2(std::max(exponent, 1u) * 1.0 - e.exponent_bias - e.mantissa_bits);
  return (sign ? -size : size) * unit;
}

struct Code {
  double value;
  uint8_t code;
};

/// The codes that may be written, by value.
std::vector<Code> codes_of(const EncodingRecord& e) {
  std::vector<Code> codes;
  for (uint32_t code = 0; code < code_count(e); code++)
    if (const double value = code_value(e, code); !std::isnan(value))
      codes.push_back({value, static_cast<uint8_t>(code)});
  std::ranges::sort(codes, {}, &Code::value);
  return codes;
}

double largest_gap(const std::vector<Code>& codes) {
  double gap = 0;
  for (size_t i = 0; i + 1 < codes.size(); i++)
    gap = std::max(gap, codes[i + 1].value - codes[i].value);
  return gap;
}

double reach_of(const std::vector<Code>& codes) {
  return std::max(std::fabs(codes.front().value), std::fabs(codes.back().value));
}

std::vector<EncodingRecord> all_grids() {
  std::vector<EncodingRecord> records;
  for (const NamedGrid& grid : named_grids().subspan(1)) records.push_back(grid.record);
  for (const char* table : kTables) {
    auto grid = find_grid(table);
    EXPECT_TRUE(grid) << table;
    if (grid) records.push_back(grid->record);
  }
  return records;
}

/// Grids x groups x scale types x with and without a row factor.
template <typename Visit>
void each_encoding(Visit visit) {
  for (EncodingRecord e : all_grids())
    for (const uint32_t group : {16u, 32u, 96u, 50u, 240u, 0u})
      for (const Element type : kScaleTypes)
        for (const bool row_factor : {false, true}) {
          e.group = group;
          e.scale_type = type;
          e.row_factor = row_factor;
          if (!encoding_problem(e)) visit(e);
        }
}

/// The magnitude of weights whose scale every type can hold well.
float size_for(const EncodingRecord& e) {
  const double reach = reach_of(codes_of(e));
  const bool bounded = e.scale_type != Element::f32 && !e.row_factor;
  if (!bounded) return 0.1f;
  return static_cast<float>(reach * (e.scale_type == Element::u8 ? 40 : 0.02));
}

/// Heavy tails, another spread and offset in each row.
std::vector<float> weights(Shape shape, float size, uint32_t seed = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> w(static_cast<size_t>(shape.rows * shape.columns));
  float spread = 1, offset = 0;
  for (size_t i = 0; i < w.size(); i++) {
    if (i % static_cast<size_t>(shape.columns) == 0) {
      spread = size * std::exp(0.4f * normal(random)) / 4;
      offset = 0.2f * spread * normal(random);
    }
    const float x = normal(random);
    w[i] = spread * x * std::sqrt(1 + 0.2f * x * x) + offset;
  }
  return w;
}

struct Encoded {
  PartBuffers part;
  QuantizeStats stats;
  std::vector<float> decoded;
};

Encoded encode(const EncodingRecord& e, Shape shape, const std::vector<float>& w,
               const QuantizeOptions& options) {
  EXPECT_FALSE(encoding_problem(e)) << *encoding_problem(e);
  Encoded out;
  out.part = allocate_part(e, shape.rows, shape.columns);
  for (int64_t tile = 0; tile < tiles_of(shape.rows); tile++)
    quantize_tile(w.data() + tile * kTileRows * shape.columns, tile,
                  std::min<int64_t>(kTileRows, shape.rows - tile * kTileRows), options, &out.part,
                  &out.stats);
  const int64_t lanes = tiles_of(shape.rows) * kTileRows;
  out.decoded.resize(static_cast<size_t>(lanes * shape.columns));
  for (int64_t tile = 0; tile < tiles_of(shape.rows); tile++)
    decode_tile(out.part.view(), tile, out.decoded.data() + tile * kTileRows * shape.columns);
  for (size_t i = w.size(); i < out.decoded.size(); i++) EXPECT_EQ(out.decoded[i], 0);
  out.decoded.resize(w.size());
  return out;
}

double row_error(const std::vector<float>& w, const std::vector<float>& decoded, size_t row,
                 size_t columns, const float* weight = nullptr) {
  double sum = 0;
  for (size_t k = 0; k < columns; k++) {
    const size_t at = row * columns + k;
    const double off = static_cast<double>(w[at]) - static_cast<double>(decoded[at]);
    sum += off * off * static_cast<double>(weight ? weight[k] : 1.0f);
  }
  return sum;
}

/// Each code is one that may be written, the nearest of them, and decodes as it must.
void expect_nearest(const EncodingRecord& e, Shape shape, const std::vector<float>& w,
                    const Encoded& encoded, bool clips) {
  const std::vector<Code> codes = codes_of(e);
  const double gap = largest_gap(codes), reach = reach_of(codes);
  const bool both_signs = codes.front().value < 0 && codes.back().value > 0;
  const Grouping groups = grouping(e, shape.columns);
  std::vector<uint8_t> unpacked(static_cast<size_t>(kTileRows * shape.columns));
  for (int64_t row = 0; row < shape.rows; row++) {
    if (row % kTileRows == 0) unpack_tile(encoded.part.view(), row / kTileRows, unpacked.data());
    for (int64_t k = 0; k < shape.columns; k++) {
      const size_t at = static_cast<size_t>(row * shape.columns + k);
      const float scale = group_parameters(encoded.part.view(), row, k / groups.length).scale;
      const uint8_t code = unpacked[static_cast<size_t>(row % kTileRows * shape.columns + k)];
      const double value = code_value(e, code);
      ASSERT_FALSE(std::isnan(value)) << describe(e) << " code " << int{code};
      ASSERT_EQ(encoded.decoded[at], scale * static_cast<float>(value)) << describe(e);
      const double t = static_cast<double>(w[at]) / static_cast<double>(scale);
      double nearest = DBL_MAX;
      for (const Code& c : codes) nearest = std::min(nearest, std::fabs(t - c.value));
      ASSERT_LE(std::fabs(t - value), nearest + 0x1p-22 * std::fabs(t))
          << describe(e) << " row " << row << " column " << k << " t " << t << " level " << value;
      if (clips || !both_signs) continue;
      // Scales within 2^-18 above a rung count as on it.
      ASSERT_LE(std::fabs(t - value), gap / 2 + 0x1p-17 * reach) << describe(e) << " t " << t;
    }
  }
}

TEST(Grids, CodesAreTheNearestThatMayBeWritten) {
  each_encoding([](const EncodingRecord& e) {
    const Shape shape = {19, 107};
    const std::vector<float> w = weights(shape, size_for(e));
    for (const Range range : {Range::minmax, Range::search}) {
      const Encoded encoded = encode(e, shape, w, {range, nullptr});
      expect_nearest(e, shape, w, encoded, range == Range::search);
      if (::testing::Test::HasFatalFailure()) return;
      EXPECT_EQ(encoded.stats.saturated, 0) << describe(e);
      EXPECT_EQ(encoded.stats.lifted_zeros, 0) << describe(e);
      double error = 0;
      for (size_t row = 0; row < 19; row++) error += row_error(w, encoded.decoded, row, 107);
      EXPECT_NEAR(encoded.stats.squared_error, error, 1e-4 * error) << describe(e);
    }
  });
}

TEST(Grids, SearchIsNeverWorseInAnyRow) {
  std::vector<float> importance(107);
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  for (float& x : importance) x = std::exp(normal(random));
  each_encoding([&](const EncodingRecord& e) {
    const Shape shape = {16, 107};
    const std::vector<float> w = weights(shape, size_for(e), 2);
    const Encoded plain = encode(e, shape, w, {Range::minmax, nullptr});
    for (const float* weight : std::array<const float*, 2>{nullptr, importance.data()}) {
      const Encoded searched = encode(e, shape, w, {Range::search, weight});
      for (size_t row = 0; row < 16; row++)
        ASSERT_LE(row_error(w, searched.decoded, row, 107, weight),
                  row_error(w, plain.decoded, row, 107, weight) * (1 + 1e-6))
            << describe(e) << " row " << row;
    }
  });
}

TEST(Grids, SearchGainsWhereItShould) {
  const Shape shape = {64, 480};
  const std::vector<float> w = weights(shape, 0.1f, 3);
  const struct {
    const char* spec;
    double at_most;  // of the plain range's squared error
  } cases[] = {{"grid=binary,scale=f16", 0.1},
               {"grid=ternary,scale=f16", 0.4},
               {"grid=five,scale=f16", 0.45},
               {"grid=nf4,scale=f16", 0.85},
               {"grid=nf4", 0.9},
               {"grid=e2m1,scale=f16", 0.87},
               {"grid=e2m1,scale=e8m0", 0.9},
               {"grid=e2m1,scale=e8m0,factor=none", 0.87},
               {"grid=e3m0,scale=f16", 0.85},
               {"grid=e4m3,scale=f16", 0.65},
               {"grid=levels:-1/0/2,scale=f16", 0.4}};
  for (const auto& c : cases) {
    const EncodingRecord e = parse_spec(c.spec, {})->encoding();
    const Encoded plain = encode(e, shape, w, {Range::minmax, nullptr});
    const Encoded searched = encode(e, shape, w, {Range::search, nullptr});
    EXPECT_LT(searched.stats.squared_error, c.at_most * plain.stats.squared_error) << c.spec;
  }
}

/// The least error of one group at any of many scales.
double best_by_trying(const std::vector<Code>& codes, const float* w, size_t size) {
  double largest = 0, best = DBL_MAX;
  for (size_t k = 0; k < size; k++)
    largest = std::max(largest, std::fabs(static_cast<double>(w[k])));
  for (int i = 1; i <= 2000; i++) {
    const double size_of_scale = largest / reach_of(codes) * 3 * i / 2000;
    for (const double scale : {size_of_scale, -size_of_scale}) {
      double error = 0;
      for (size_t k = 0; k < size && error < best; k++) {
        const double t = static_cast<double>(w[k]) / scale;
        const auto above = std::ranges::lower_bound(codes, t, {}, &Code::value);
        double off = DBL_MAX;
        if (above != codes.end()) off = above->value - t;
        if (above != codes.begin()) off = std::min(off, t - std::prev(above)->value);
        error += off * off * scale * scale;
      }
      best = std::min(best, error);
    }
  }
  return best;
}

TEST(Grids, SearchComesNearTheBestOfAllScales) {
  const Shape shape = {48, 32};
  const std::vector<float> w = weights(shape, 0.1f, 10);
  for (EncodingRecord e : all_grids()) {
    e.scale_type = Element::f32;
    e.group = 0;
    const Encoded searched = encode(e, shape, w, {Range::search, nullptr});
    const std::vector<Code> codes = codes_of(e);
    double best = 0;
    for (size_t row = 0; row < 48; row++) best += best_by_trying(codes, w.data() + row * 32, 32);
    // With many mantissa bits the least of 4000 tries owes much to luck.
    const double most = e.mantissa_bits <= 3 ? 1.03 : 1.1;
    EXPECT_LE(searched.stats.squared_error, most * best) << describe(e);
  }
}

TEST(Grids, BinaryTakesTheWeightedMean) {
  const Shape shape = {5, 64};
  const std::vector<float> w = weights(shape, 0.1f, 4);
  std::vector<float> importance(64);
  for (size_t k = 0; k < 64; k++) importance[k] = 1 + static_cast<float>(k % 7);
  const EncodingRecord e = parse_spec("grid=binary,scale=f32", {})->encoding();
  const Encoded encoded = encode(e, shape, w, {Range::search, importance.data()});
  for (int64_t row = 0; row < 5; row++)
    for (int64_t group = 0; group < 2; group++) {
      double sum = 0, count = 0;
      for (size_t k = 0; k < 32; k++) {
        const size_t column = static_cast<size_t>(group * 32) + k;
        const double weight = static_cast<double>(importance[column]);
        sum += weight * std::fabs(static_cast<double>(w[static_cast<size_t>(row) * 64 + column]));
        count += weight;
      }
      const float scale = group_parameters(encoded.part.view(), row, group).scale;
      EXPECT_NEAR(std::fabs(scale), sum / count, 1e-6 * sum / count);
    }
}

/// Weights that the encoding holds exactly: in each group all levels' ends, in each row a group of
/// the largest scale. The scales have few digits, so their products with levels round nowhere.
std::vector<float> storable(const EncodingRecord& e, Shape shape) {
  std::mt19937 random(7);
  const std::vector<Code> codes = codes_of(e);
  std::uniform_int_distribution<size_t> pick(0, codes.size() - 1);
  std::uniform_int_distribution<int> rung(1, 8);
  const Grouping groups = grouping(e, shape.columns);
  std::vector<float> w(static_cast<size_t>(shape.rows * shape.columns));
  for (int64_t row = 0; row < shape.rows; row++)
    for (int64_t group = 0; group < groups.count; group++) {
      const int step = group == 0 ? 8 : rung(random);
      float scale = static_cast<float>(step) * 0x1p-8f;
      if (e.scale_type == Element::e8m0) scale = std::exp2(static_cast<float>(step) - 12);
      if (e.scale_type == Element::u8) scale = group == 0 ? 255 : static_cast<float>(31 * step);
      if (e.scale_type == Element::e4m3 && e.row_factor)
        scale = e4m3_to_f32(static_cast<uint8_t>(0x7e - 5 * (8 - step)));
      if (e.row_factor && element_bits(e.scale_type) == 8 && e.scale_type != Element::e8m0)
        scale *= 0x1p-12f;
      for (int64_t i = 0; i < groups.size(group); i++) {
        const size_t code = i == 0 ? 0 : i == 1 ? codes.size() - 1 : pick(random);
        w[static_cast<size_t>(row * shape.columns + groups.begin(group) + i)] =
            scale * static_cast<float>(codes[code].value);
      }
    }
  return w;
}

TEST(Grids, WhatLiesOnAGridComesBackBitForBit) {
  each_encoding([](const EncodingRecord& e) {
    for (size_t i = 0; i < e.level_count; i++)  // products of nf4's and 1e30 round
      if (std::bit_cast<uint32_t>(e.levels[i]) & 0xffff) return;
    const Shape shape = {18, 102};
    const std::vector<float> w = storable(e, shape);
    for (const Range range : {Range::minmax, Range::search}) {
      const Encoded encoded = encode(e, shape, w, {range, nullptr});
      EXPECT_EQ(encoded.stats.squared_error, 0) << describe(e);
      ASSERT_EQ(encoded.decoded, w) << describe(e) << " search " << (range == Range::search);
    }
  });
}

TEST(Grids, AnNf4FileConvertedAgainIsTheSame) {
  for (const char* spec : {"grid=nf4", "grid=nf4,scale=f16", "grid=nf4,scale=e8m0"}) {
    const EncodingRecord e = parse_spec(spec, {})->encoding();
    const Shape shape = {18, 102};
    const std::vector<float> w = storable(e, shape);
    for (const Range range : {Range::minmax, Range::search}) {
      const Encoded once = encode(e, shape, w, {range, nullptr});
      const Encoded twice = encode(e, shape, once.decoded, {range, nullptr});
      EXPECT_EQ(once.part.planes, twice.part.planes) << spec;
      EXPECT_EQ(once.part.scales, twice.part.scales) << spec;
    }
  }
}

TEST(Grids, ZerosAreExact) {
  each_encoding([](const EncodingRecord& e) {
    const Shape shape = {17, 100};
    std::vector<float> w = weights(shape, size_for(e), 8);
    const Grouping groups = grouping(e, shape.columns);
    const std::vector<Code> codes = codes_of(e);
    const bool has_zero = std::ranges::find(codes, 0.0, &Code::value) != codes.end();
    // Rows 3 and 16 whole, and the first group of row 5.
    for (const int64_t row : {3, 16, 5})
      for (int64_t k = 0; k < (row == 5 ? groups.size(0) : 100); k++)
        w[static_cast<size_t>(row * 100 + k)] = 0;
    for (const Range range : {Range::minmax, Range::search}) {
      const Encoded encoded = encode(e, shape, w, {range, nullptr});
      const int64_t zero_rows = groups.count == 1 ? 3 : 2;
      EXPECT_EQ(encoded.stats.zero_rows, zero_rows) << describe(e);
      // Without any 0, e8m0 cannot: its smallest scale is as near as it gets.
      const bool cannot = !has_zero && e.scale_type == Element::e8m0;
      const int64_t alone = groups.count == 1 ? 0 : 1;
      EXPECT_EQ(encoded.stats.lifted_zeros, !cannot        ? 0
                                            : e.row_factor ? alone
                                                           : 2 * groups.count + 1)
          << describe(e);
      for (size_t i = 0; i < w.size(); i++) {
        const size_t row = i / 100;
        if (w[i] != 0) continue;
        if (cannot && (!e.row_factor || row == 5))
          ASSERT_LE(std::fabs(encoded.decoded[i]), 0x1p-120 * std::max(1.0, reach_of(codes)));
        else
          ASSERT_EQ(encoded.decoded[i], 0) << describe(e) << " row " << row;
      }
    }
  });
}

TEST(Grids, NothingEverDecodesToNan) {
  const float sizes[] = {FLT_MAX, 0x1p127f, 1e30f,   70000.0f, 1.0f,     1e-6f,
                         1e-12f,  1e-30f,   FLT_MIN, 1e-39f,   0x1p-149f};
  const Shape shape = {1, 64};
  each_encoding([&](const EncodingRecord& e) {
    if (e.group != 32) return;
    for (const float size : sizes)
      for (const int kind : {0, 1, 2})
        for (const Range range : {Range::minmax, Range::search}) {
          std::vector<float> w(64);
          for (size_t k = 0; k < 64; k++) {
            const float unit = static_cast<float>(k % 32) / 31.0f;  // 0..1
            w[k] = size * (kind == 0 ? unit * 2 - 1 : kind == 1 ? unit : -1 + unit / 8);
          }
          const Encoded encoded = encode(e, shape, w, {range, nullptr});
          for (const float x : encoded.decoded)
            ASSERT_TRUE(std::isfinite(x)) << describe(e) << " size " << size;
          ASSERT_TRUE(std::isfinite(encoded.stats.squared_error)) << describe(e);
          ASSERT_TRUE(std::isfinite(encoded.stats.energy)) << describe(e);
        }
  });
}

TEST(Grids, HalvesGoToTheEvenCode) {
  for (const EncodingRecord& grid : all_grids()) {
    EncodingRecord e = grid;
    e.scale_type = Element::f32;
    e.group = 0;
    const std::vector<Code> codes = codes_of(e);
    // Every midpoint that f32 holds, after both ends: the scale is 1.
    std::vector<float> w = {static_cast<float>(codes.front().value),
                            static_cast<float>(codes.back().value)};
    std::vector<uint8_t> expected = {codes.front().code, codes.back().code};
    for (size_t i = 0; i + 1 < codes.size(); i++) {
      const double middle = (codes[i].value + codes[i + 1].value) / 2;
      if (static_cast<double>(static_cast<float>(middle)) != middle) continue;
      w.push_back(static_cast<float>(middle));
      expected.push_back(codes[i].code % 2 == 0 ? codes[i].code : codes[i + 1].code);
      ASSERT_NE(codes[i].code % 2, codes[i + 1].code % 2);
    }
    const Shape shape = {1, static_cast<int64_t>(w.size())};
    const Encoded encoded = encode(e, shape, w, {Range::minmax, nullptr});
    const float scale = group_parameters(encoded.part.view(), 0, 0).scale;
    if (scale != 1) continue;  // a table of one sign, or one that 1e30 does not divide back
    std::vector<uint8_t> unpacked(16 * w.size());
    unpack_tile(encoded.part.view(), 0, unpacked.data());
    unpacked.resize(w.size());
    EXPECT_EQ(unpacked, expected) << describe(e);
  }
}

TEST(Grids, BitPlanesHoldTheSameNumbers) {
  const Shape shape = {18, 100};
  const std::vector<float> w = weights(shape, 0.1f, 9);
  for (const char* text : {"bits=2", "bits=3", "bits=4", "bits=8", "bits=4,zero=constant,scale=f16",
                           "grid=nf4", "grid=e2m3", "grid=levels:-1/-0.5/0/0.5/1/2"}) {
    const QuantSpec spec = *parse_spec(text, {});
    const EncodingRecord e = parse_spec("planes=bit", spec)->encoding();
    EXPECT_EQ(e.plane_count, code_bits(spec.encoding())) << text;
    for (size_t i = 0; i < e.plane_count; i++) EXPECT_EQ(e.radices[i], 2) << text;
    const Encoded bits = encode(e, shape, w, {Range::search, nullptr});
    const Encoded packed = encode(spec.encoding(), shape, w, {Range::search, nullptr});
    EXPECT_EQ(bits.decoded, packed.decoded) << text;
    EXPECT_EQ(bits.part.scales, packed.part.scales) << text;
  }
}

TEST(Grids, FilesOfThemHaveNothingWrong) {
  const TempFolder folder;
  const Shape shape = {19, 107};
  std::vector<std::pair<std::string, PartBuffers>> parts;
  const auto add = [&](const EncodingRecord& e) {
    const std::string number = std::to_string(10000 + parts.size());
    parts.emplace_back(
        "t" + number, encode(e, shape, weights(shape, size_for(e)), {Range::search, nullptr}).part);
  };
  each_encoding(add);
  for (int bits = 2; bits <= 8; bits++) {
    auto spec = parse_spec("planes=bit,bits=" + std::to_string(bits), {});
    ASSERT_TRUE(spec);
    add(spec->encoding());
  }
  DirectoryBuilder builder;
  const std::vector<uint64_t> dimensions = {19, 107};
  for (const auto& [name, part] : parts) builder.tensor(name, dimensions, kNone, part.encoding);
  auto writer = Writer::create(folder.path() / "grids.sqf", builder.finish(),
                               {{SectionKind::meta, kMeta}}, {});
  ASSERT_TRUE(writer) << writer.error().message;
  for (const auto& [name, part] : parts) {
    for (const auto& plane : part.planes) ASSERT_TRUE(writer->append(plane));
    for (const auto* bytes : {&part.scales, &part.row_factors, &part.zeros})
      ASSERT_TRUE(writer->append(*bytes));
  }
  ASSERT_TRUE(writer->finish());
  auto file = ModelFile::open(folder.path() / "grids.sqf");
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->tensor_count(), parts.size());
  for (const Error& finding : file->verify(10)) ADD_FAILURE() << finding.message;
}

}  // namespace
}  // namespace sqf

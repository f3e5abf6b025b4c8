// Each code of every grid against the nearest that may be written, whatever holds the scales; what
// lies on a grid comes back; zeros, ends and files.
#include "tests/converter/grid_cases.hpp"

#include <array>
#include <bit>
#include <cfloat>

#include "converter/quant_spec.hpp"
#include "format/scalar.hpp"
#include "format/writer.hpp"
#include "loader/model_file.hpp"
#include "tests/converter/inputs.hpp"

namespace sqf {
namespace {

constexpr const char* kMeta =
    R"({"format":{"spec":"1.0","writer":"test"},"model":{},"quantization":{},"source":{}})";

double largest_gap(const std::vector<CodeLevel>& codes) {
  double gap = 0;
  for (size_t i = 0; i + 1 < codes.size(); i++)
    gap = std::max(gap, codes[i + 1].value - codes[i].value);
  return gap;
}

/// Each code is one that may be written, the nearest of them, and decodes as it must.
void expect_nearest(const EncodingRecord& e, Shape shape, const std::vector<float>& w,
                    const Encoded& encoded, bool clips) {
  const std::vector<CodeLevel> codes = codes_of(e);
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
      for (const CodeLevel& c : codes) nearest = std::min(nearest, std::fabs(t - c.value));
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

/// Weights that the encoding holds exactly: in each group all levels' ends, in each row a group of
/// the largest scale. The scales have few digits, so their products with levels round nowhere.
std::vector<float> storable(const EncodingRecord& e, Shape shape) {
  std::mt19937 random(7);
  const std::vector<CodeLevel> codes = codes_of(e);
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
    const std::vector<CodeLevel> codes = codes_of(e);
    const bool has_zero = std::ranges::find(codes, 0.0, &CodeLevel::value) != codes.end();
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
    const std::vector<CodeLevel> codes = codes_of(e);
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

#pragma once
// Every grid that has a name, and tables of one's own, with all that can hold their scales; what
// their codes mean by the specification's formula, in double.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "converter/encode.hpp"
#include "converter/grids.hpp"

namespace sqf {

inline constexpr Element kScaleTypes[] = {Element::f32,  Element::f16,  Element::bf16,
                                          Element::e8m0, Element::e4m3, Element::u8};
// Lopsided, of one sign, of a number of levels that leaves codes unused.
inline constexpr const char* kTables[] = {
    "levels:-1/-0.25/0.5/2", "levels:1/2/4", "levels:-3/-2/-0.5/0/0.75/1",
    "levels:0/1/2/3",        "levels:-4/-1", "levels:-1e30/-1e20/0/1e25/1e30",
    "levels:-3e-30/0/1e-30", "levels:-8/8.5"};

struct Shape {
  int64_t rows, columns;
};

/// What a code stands for; NaN if it may never be written: special, unused, or another -0.
inline double code_value(const EncodingRecord& e, uint32_t code) {
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

struct CodeLevel {
  double value;
  uint8_t code;
};

/// The codes that may be written, by value.
inline std::vector<CodeLevel> codes_of(const EncodingRecord& e) {
  std::vector<CodeLevel> codes;
  for (uint32_t code = 0; code < code_count(e); code++)
    if (const double value = code_value(e, code); !std::isnan(value))
      codes.push_back({value, static_cast<uint8_t>(code)});
  std::ranges::sort(codes, {}, &CodeLevel::value);
  return codes;
}

inline double reach_of(const std::vector<CodeLevel>& codes) {
  return std::max(std::fabs(codes.front().value), std::fabs(codes.back().value));
}

inline std::vector<EncodingRecord> all_grids() {
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
inline float size_for(const EncodingRecord& e) {
  const double reach = reach_of(codes_of(e));
  const bool bounded = e.scale_type != Element::f32 && !e.row_factor;
  if (!bounded) return 0.1f;
  return static_cast<float>(reach * (e.scale_type == Element::u8 ? 40 : 0.02));
}

/// Heavy tails, another spread and offset in each row.
inline std::vector<float> weights(Shape shape, float size, uint32_t seed = 1) {
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

inline Encoded encode(const EncodingRecord& e, Shape shape, const std::vector<float>& w,
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

inline double row_error(const std::vector<float>& w, const std::vector<float>& decoded, size_t row,
                        size_t columns, const float* weight = nullptr) {
  double sum = 0;
  for (size_t k = 0; k < columns; k++) {
    const size_t at = row * columns + k;
    const double off = static_cast<double>(w[at]) - static_cast<double>(decoded[at]);
    sum += off * off * static_cast<double>(weight ? weight[k] : 1.0f);
  }
  return sum;
}

}  // namespace sqf

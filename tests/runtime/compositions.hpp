#pragma once
// Every composition of a layer that a file can hold, as data, for every runtime that multiplies.

#include <gtest/gtest.h>

#include "runtime/linear.hpp"
#include "tests/runtime/composed_file.hpp"

namespace sqf {

inline ColumnSetRecord column_set(ColumnKind kind) {
  ColumnSetRecord set = {};
  set.kind = kind;
  return set;
}

inline ColumnSetRecord integers(int bits, bool asymmetric, bool per_tensor = false,
                                bool is_static = false) {
  ColumnSetRecord set = column_set(ColumnKind::all);
  set.quantizer = QuantizerKind::integer;
  set.bits = static_cast<uint8_t>(bits);
  set.asymmetric = asymmetric;
  set.per_tensor = per_tensor;
  set.is_static = is_static;
  if (!is_static) return set;
  // So that some values lie beyond the ends.
  set.scale = 4.0f / static_cast<float>(1 << bits);
  set.low = asymmetric ? -1.7f : 0.25f;  // which says nothing to a symmetric one
  return set;
}

inline ColumnSetRecord minifloats(int exponent_bits, int mantissa_bits, bool per_tensor = false,
                                  float scale = 0) {
  ColumnSetRecord set = column_set(ColumnKind::all);
  set.quantizer = QuantizerKind::minifloat;
  set.exponent_bits = static_cast<uint8_t>(exponent_bits);
  set.mantissa_bits = static_cast<uint8_t>(mantissa_bits);
  set.per_tensor = per_tensor;
  set.is_static = scale != 0;
  set.scale = scale;
  return set;
}

inline std::vector<ColumnSetRecord> every_quantizer() {
  std::vector<ColumnSetRecord> all = {column_set(ColumnKind::all)};
  for (int bits = 2; bits <= 8; bits++)
    for (bool asymmetric : {false, true}) all.push_back(integers(bits, asymmetric));
  for (int bits : {4, 8})
    for (bool asymmetric : {false, true})
      for (bool is_static : {false, true}) {
        all.push_back(integers(bits, asymmetric, true, is_static));
        if (is_static) all.push_back(integers(bits, asymmetric, false, true));
      }
  for (auto [e, m] : {std::pair{4, 3}, {5, 2}, {2, 1}, {1, 6}, {3, 0}, {7, 0}, {1, 1}})
    all.push_back(minifloats(e, m));
  all.push_back(minifloats(4, 3, true));
  all.push_back(minifloats(2, 3, false, 0.25f));
  return all;
}

inline ColumnSetRecord as(ColumnKind kind, ColumnSetRecord set) {
  set.kind = kind;
  return set;
}

inline EncodingRecord ternary() {
  const std::array<float, 3> levels = {-1, 0, 1};
  return levels_encoding(levels, 60, Element::f16, false);
}

/// Each takes the quantizer where it has integer codes, and elsewhere too where that is possible.
inline std::vector<Composition> every_composition(const ColumnSetRecord& q) {
  const auto plain = column_set(ColumnKind::list);
  const EncodingRecord default4 = affine_encoding(4, 32, Element::u8, true, ZeroKind::u4);
  const EncodingRecord binary = affine_encoding(1, 64, Element::f16, false, ZeroKind::minimum_f16);
  const EncodingRecord rows8 = affine_encoding(8, 0, Element::f32, false, ZeroKind::constant);
  const EncodingRecord half = real_encoding(Element::f16);
  std::vector<Composition> all;
  all.push_back({"one part", {q}, {{default4}}});
  all.push_back({"one part with row sums, smoothed",
                 {q},
                 {{affine_encoding(8, 16, Element::e4m3, false, ZeroKind::u8), 0, true, true}},
                 SmoothState::apply,
                 Element::none,
                 0,
                 true});
  all.push_back({"outlier columns", {plain, as(ColumnKind::rest, q)}, {{half, 0}, {default4, 1}}});
  all.push_back({"binary and salient columns",
                 {as(ColumnKind::list, q), as(ColumnKind::rest, q)},
                 {{default4, 0, false, true}, {binary, 1, true, true}},
                 SmoothState::apply,
                 Element::i8,
                 5,
                 true});
  all.push_back(
      {"three parts over all",
       {q},
       {{binary, 0, true}, {affine_encoding(5, 32, Element::bf16, true, ZeroKind::u8)}, {rows8}},
       SmoothState::folded,
       Element::f16,
       1,
       false});
  all.push_back({"every grid",
                 {as(ColumnKind::list, q), as(ColumnKind::rest, q), plain},
                 {{real_encoding(Element::f32), 0, true},
                  {ternary(), 1},
                  {minifloat_encoding(2, 1, MinifloatKind::ocp, 32, Element::e8m0, false), 1, true},
                  {real_encoding(Element::bf16), 2},
                  {rows8, 2}},
                 SmoothState::apply});
  all.push_back({"low-rank pair",
                 {q},
                 {{rows8, 0, false, true}},
                 SmoothState::apply,
                 Element::f16,
                 17,
                 true});
  return all;
}

inline std::vector<float> random_tokens(int64_t tokens, int64_t columns, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.2f, 1);
  std::vector<float> x(static_cast<size_t>(tokens * columns));
  for (float& v : x) v = normal(random);
  return x;
}

/// A file of one layer.
struct OpenedLayer {
  TemporaryFolder folder;
  ModelFile file;
  Feeds feeds;
  Linear linear;

  OpenedLayer(const Composition& c, int64_t rows, int64_t columns) {
    ComposedFile made(static_cast<uint32_t>(rows * 7 + columns));
    made.add_tensor("w", c, rows, made.add_input(c, columns));
    const auto written = made.write(folder / "a.sqf");
    EXPECT_TRUE(written) << written.error().message;
    if (!written) return;
    auto opened = ModelFile::open(folder / "a.sqf");
    EXPECT_TRUE(opened) << opened.error().message;
    if (!opened) return;
    file = std::move(*opened);
    auto loaded = load_linear(file, file.tensor(0), &feeds);
    EXPECT_TRUE(loaded) << loaded.error().message;
    if (loaded) linear = std::move(*loaded);
  }
};

}  // namespace sqf

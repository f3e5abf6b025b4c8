// Layers that read one activation: which of them one launch makes, and that each comes out as it
// does alone.
#include <gtest/gtest.h>

#include <fstream>

#include "tests/cuda/layer_product.hpp"
#include "tests/runtime/multiply_reference.hpp"

namespace sqf {
namespace {

/// A file of layers of one activation, that of the first composition.
struct OpenedLayers {
  TemporaryFolder folder;
  ModelFile file;
  Feeds feeds;
  std::vector<Linear> layers;

  OpenedLayers(const std::vector<Composition>& compositions, const std::vector<int64_t>& rows,
               int64_t columns) {
    ComposedFile made(static_cast<uint32_t>(rows[0] * 7 + columns));
    const uint32_t input = made.add_input(compositions[0], columns);
    for (size_t i = 0; i < rows.size(); i++)
      made.add_tensor(std::string(1, static_cast<char>('a' + i)),
                      compositions[i % compositions.size()], rows[i], input);
    const auto written = made.write(folder / "a.sqf");
    EXPECT_TRUE(written) << written.error().message;
    auto opened = ModelFile::open(folder / "a.sqf");
    EXPECT_TRUE(opened) << opened.error().message;
    if (!opened) return;
    file = std::move(*opened);
    for (size_t i = 0; i < rows.size(); i++) {
      auto loaded = load_linear(file, file.tensor(i), &feeds);
      EXPECT_TRUE(loaded) << loaded.error().message;
      if (loaded) layers.push_back(std::move(*loaded));
    }
  }

  std::vector<const Linear*> all() const {
    std::vector<const Linear*> list;
    for (const Linear& linear : layers) list.push_back(&linear);
    return list;
  }
};

/// Layers of each launch, in its order; one number is one layer.
using Launches = std::vector<std::vector<size_t>>;

Launches launches_of(const Readers& readers) {
  Launches list;
  for (const auto& together : readers.launches) {
    list.emplace_back();
    for (const ProductPlace& place : together) list.back().push_back(place.layer);
  }
  return list;
}

/// Names of the kernels that multiplied. Empty: the driver does not count.
std::vector<std::string> kernels_in(const std::string& report) {
  std::ifstream in(report);
  std::vector<std::string> names;
  for (std::string line; std::getline(in, line);) {
    const std::string name = Json::parse(line)["kernel"];
    if (name != "form") names.push_back(name);
  }
  return names;
}

void expect_near(const OpenedLayers& o, const std::vector<float>& x, bool exact,
                 const std::vector<std::vector<float>>& y, const std::string& what) {
  for (size_t l = 0; l < y.size(); l++) {
    const int64_t tokens = static_cast<int64_t>(x.size()) / o.layers[l].columns;
    const auto want = multiply_reference(o.file, o.file.tensor(l), x, true);
    ASSERT_EQ(y[l].size(), want.y.size());
    for (size_t i = 0; i < y[l].size(); i++)
      ASSERT_NEAR(y[l][i], want.y[i],
                  bound_of(o.layers[l], want.magnitude[i], exact || tokens <= 4))
          << what << ", tokens " << tokens << ", layer " << l << " at " << i;
  }
}

/// Each layer against the definition and, to the bit, against itself alone: of so few columns no
/// blocks share any. How often its kernel is launched.
void check(const Composition& c, const std::vector<int64_t>& rows, int64_t columns, int64_t tokens,
           bool exact) {
  const OpenedLayers o({c}, rows, columns);
  const auto x = random_tokens(tokens, columns, static_cast<uint32_t>(tokens));
  const std::string report = o.folder / "launches";
  setenv("SQF_EMULATOR_REPORT", report.c_str(), 1);
  const auto y = products_of(gpu(), o.file, o.all(), x, exact);
  unsetenv("SQF_EMULATOR_REPORT");
  ASSERT_TRUE(y) << c.name << ": " << y.error().message;
  expect_near(o, x, exact, *y, c.name);
  if (testing::Test::HasFatalFailure()) return;
  for (size_t l = 0; l < rows.size(); l++) {
    const Linear* const layer = &o.layers[l];
    const auto alone = products_of(gpu(), o.file, std::span(&layer, 1), x, exact);
    ASSERT_TRUE(alone) << alone.error().message;
    ASSERT_EQ((*y)[l], (*alone)[0]) << c.name << ", tokens " << tokens << ", layer " << l;
  }
  const auto kernels = kernels_in(report);
  if (kernels.empty()) return;
  const bool one = kernels[0].starts_with("decode_") && !kernels[0].starts_with("decode_any");
  ASSERT_EQ(kernels.size(), one ? 1u : rows.size()) << kernels[0] << ", tokens " << tokens;
}

const std::vector<std::vector<int64_t>> kRows = {
    {48, 16, 32}, {35, 130, 7}, {64, 1, 129}, {200, 60, 60}, {20, 70}};

TEST(CudaTogether, EveryKernel) {
  size_t turn = 0;
  for (Composition c : every_kernel())
    for (const int64_t tokens : {1, 3, 8, 9, 16}) {
      c.bias = turn++ % 2 == 0;
      check(c, kRows[turn % kRows.size()], 136, tokens, turn % 3 == 0);
      if (HasFatalFailure()) return;
    }
}

/// Row factors, row sums of asymmetric integers, zeros: each product's own.
TEST(CudaTogether, WhatALayerHasOfItsOwn) {
  const ColumnSetRecord eight = integers(8, true), all = column_set(ColumnKind::all);
  for (const int64_t tokens : {1, 5, 12, 17, 40})
    for (const auto& rows : kRows)
      for (const Composition& c :
           {Composition{
                "W4A8",
                {eight},
                {{affine_encoding(4, 32, Element::u8, true, ZeroKind::u4), 0, false, true}}},
            Composition{"W8A16 minimums",
                        {all},
                        {{affine_encoding(8, 64, Element::f16, true, ZeroKind::minimum_f16)}}},
            Composition{
                "W4A8 rows",
                {eight},
                {{affine_encoding(4, 0, Element::f32, false, ZeroKind::u8), 0, false, true}}}}) {
        Composition with = c;
        with.bias = rows[0] % 2 == 0;
        check(with, rows, 100, tokens, false);
        if (HasFatalFailure()) return;
      }
}

/// Blocks that share columns, twice: what they pass among themselves is each block's own.
TEST(CudaTogether, LongRows) {
  const auto all = column_set(ColumnKind::all);
  for (const EncodingRecord& e :
       {affine_encoding(4, 32, Element::u8, true, ZeroKind::u4),
        affine_encoding(8, 0, Element::f32, false, ZeroKind::u8), real_encoding(Element::bf16)})
    for (const int64_t tokens : {1, 11}) {
      const OpenedLayers o({{describe(e), {all}, {{e}}, SmoothState::none, Element::none, 0, true}},
                           {35, 150, 20}, 10016);
      const auto x = random_tokens(tokens, 10016, 5);
      const std::string report = o.folder / "launches";
      setenv("SQF_EMULATOR_REPORT", report.c_str(), 1);
      const auto y = products_of(gpu(), o.file, o.all(), x, false);
      unsetenv("SQF_EMULATOR_REPORT");
      ASSERT_TRUE(y) << y.error().message;
      expect_near(o, x, false, *y, describe(e));
      if (HasFatalFailure()) return;
      const auto kernels = kernels_in(report);
      ASSERT_LE(kernels.size(), 1u) << kernels[0];
    }
}

TEST(CudaTogether, OnlyWhatIsAlike) {
  const auto all = column_set(ColumnKind::all);
  const auto of = [&](const EncodingRecord& e) { return Composition{"", {all}, {{e}}}; };
  const EncodingRecord four = affine_encoding(4, 32, Element::u8, true, ZeroKind::u4);
  const Composition usual = of(four);
  EncodingRecord other_constant = affine_encoding(4, 32, Element::f16, false, ZeroKind::constant);
  const Composition constant = of(other_constant);
  other_constant.zero_constant = 3;
  const Composition factors = {"", {all}, {{four, 0, true}}};
  const Composition several = {"", {all}, {{four}, {real_encoding(Element::f16)}}};
  const Composition low_rank = {"", {all}, {{four}}, SmoothState::none, Element::i8, 3, true};
  struct Group {
    std::vector<Composition> compositions;
    Launches launches;
  };
  const Group cases[] = {
      {{usual, usual, usual}, {{0, 1, 2}}},
      {{usual, usual, usual, usual}, {{0, 1, 2}, {3}}},
      {{usual, of(affine_encoding(4, 32, Element::u8, true, ZeroKind::u8)), usual}, {{0, 2}, {1}}},
      {{usual, usual, of(affine_encoding(4, 64, Element::u8, true, ZeroKind::u4))}, {{0, 1}, {2}}},
      {{usual, of(affine_encoding(4, 32, Element::u8, false, ZeroKind::u4)), usual}, {{0, 2}, {1}}},
      {{usual, of(affine_encoding(8, 32, Element::u8, true, ZeroKind::u8)),
        of(real_encoding(Element::f16))},
       {{0}, {1}, {2}}},
      {{constant, of(other_constant), constant}, {{0, 2}, {1}}},
      {{of(levels_encoding(kLevels, 32, Element::f16, false)),
        of(levels_encoding(std::span(kLevels).first(4), 32, Element::f16, false))},
       {{0}, {1}}},
      {{usual, factors, usual}, {{0, 2}, {1}}},
      // Second parts after all first ones, low-rank pairs at the end.
      {{several, usual, several}, {{0, 1, 2}, {0, 2}}},
      {{low_rank, usual, low_rank}, {{0, 1, 2}, {0}, {0}, {2}, {2}}},
  };
  for (size_t i = 0; i < std::size(cases); i++) {
    const std::vector<int64_t> rows = {48, 17, 32, 70};
    const size_t count = cases[i].compositions.size();
    const OpenedLayers o(cases[i].compositions,
                         {rows.begin(), rows.begin() + static_cast<long>(count)}, 100);
    for (const int64_t tokens : {2, 20}) {
      Readers readers;
      const auto x = random_tokens(tokens, 100, 1);
      const auto y = products_of(gpu(), o.file, o.all(), x, false, &readers);
      ASSERT_TRUE(y) << i << ": " << y.error().message;
      EXPECT_EQ(launches_of(readers), cases[i].launches) << i;
      expect_near(o, x, false, *y, std::to_string(i));
      if (HasFatalFailure()) return;
    }
  }
}

}  // namespace
}  // namespace sqf

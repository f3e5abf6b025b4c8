// Every composition of a layer on the GPU's kernels, against the equation in the specification. The
// driver is the emulator that SQF_LIBCUDA names, or a real one.
#include <gtest/gtest.h>

#include "tests/cuda/layer_product.hpp"
#include "tests/runtime/multiply_reference.hpp"

namespace sqf {
namespace {

void check(const Composition& c, int64_t rows, int64_t columns, int64_t tokens,
           const std::string& what) {
  const OpenedLayer o(c, rows, columns);
  ASSERT_EQ(o.linear.rows, rows);
  const auto x = random_tokens(tokens, columns, static_cast<uint32_t>(tokens));
  const auto want = multiply_reference(o.file, o.file.tensor(0), x, true);
  for (bool exact : {false, true}) {
    const auto y = product(gpu(), o, x, exact);
    ASSERT_TRUE(y) << what << ", " << c.name << ": " << y.error().message;
    for (size_t i = 0; i < y->size(); i++)
      ASSERT_NEAR((*y)[i], want.y[i], bound_of(o.linear, want.magnitude[i], exact || tokens <= 4))
          << what << ", " << c.name << ", " << rows << "x" << columns << ", tokens " << tokens
          << (exact ? ", exact" : "") << ", at " << i;
  }
}

TEST(CudaProducts, EveryQuantizerInEveryComposition) {
  const auto quantizers = every_quantizer();
  for (size_t q = 0; q < quantizers.size(); q++)
    for (const Composition& c : every_composition(quantizers[q])) {
      check(c, 21, 100, static_cast<int64_t>(1 + q % 3), "quantizer " + std::to_string(q));
      if (HasFatalFailure()) return;
    }
}

/// Every width with every zero kind, scale type and way of grouping that goes with it.
TEST(CudaProducts, EveryEncoding) {
  const auto all = column_set(ColumnKind::all), eight = integers(8, false);
  size_t turn = 0;
  for (int bits = 1; bits <= 8; bits++)
    for (uint32_t group : {0u, 32u, 128u})
      for (Element scale :
           {Element::f32, Element::f16, Element::bf16, Element::u8, Element::e8m0, Element::e4m3})
        for (ZeroKind zero :
             {ZeroKind::constant, ZeroKind::u4, ZeroKind::u8, ZeroKind::minimum_f16}) {
          if (zero == ZeroKind::u4 && bits > 4) continue;
          // Every pair of two axes is met; all of them together take minutes.
          if (turn++ % 7 != 0) continue;
          const EncodingRecord e = affine_encoding(bits, group, scale, turn % 2 != 0, zero);
          check({describe(e), {turn % 3 == 0 ? eight : all}, {{e}}}, 33, 200,
                std::array<int64_t, 4>{1, 7, 12, 40}[turn % 4], "encoding");
          if (HasFatalFailure()) return;
        }
}

const std::array<float, 16> kNormalFloat = {
    -1.0f,   -0.6962f, -0.5251f, -0.3949f, -0.2844f, -0.1848f, -0.091f, 0.0f,
    0.0796f, 0.1609f,  0.2461f,  0.3379f,  0.4407f,  0.5626f,  0.723f,  1.0f};

TEST(CudaProducts, OtherGrids) {
  const auto all = column_set(ColumnKind::all);
  std::vector<EncodingRecord> encodings = {real_encoding(Element::f16),
                                           real_encoding(Element::bf16),
                                           real_encoding(Element::f32), ternary()};
  for (size_t count : {2u, 4u, 7u, 16u})
    encodings.push_back(
        levels_encoding(std::span(kNormalFloat).last(count), 64, Element::f16, false));
  encodings.push_back(levels_encoding(std::span(kNormalFloat).first(5), 60, Element::f32, true));
  for (const OcpFormat& f : kOcpFormats) {
    if (f.exponent_bits == 5) continue;  // codes are random here, and those of infinity no numbers
    encodings.push_back(minifloat_encoding(f.exponent_bits, f.mantissa_bits, MinifloatKind::ocp, 32,
                                           Element::u8, true));
  }
  for (auto [e, m] : {std::pair{1, 6}, {3, 0}, {5, 2}, {6, 1}, {7, 0}, {4, 3}})
    encodings.push_back(
        minifloat_encoding(e, m, MinifloatKind::saturating, 0, Element::f32, false));
  for (const EncodingRecord& e : encodings)
    for (int64_t tokens : {1, 9, 70}) {
      check({describe(e), {all}, {{e}}}, 40, 136, tokens, "grid");
      if (HasFatalFailure()) return;
    }
}

/// A row that stands alone is stored without its tile.
TEST(CudaProducts, MatricesOfOneRow) {
  const auto all = column_set(ColumnKind::all);
  for (Element type : {Element::f16, Element::bf16, Element::f32})
    for (int64_t columns : {1, 77, 640}) {
      const EncodingRecord e = real_encoding(type);
      check({describe(e), {all}, {{e}}, SmoothState::none, Element::i8, 1}, 1, columns, 3, "row");
      if (HasFatalFailure()) return;
    }
}

TEST(CudaProducts, RaggedShapesAndTokens) {
  for (const ColumnSetRecord& q : {column_set(ColumnKind::all), integers(8, true)}) {
    const auto compositions = every_composition(q);
    for (size_t i = 0; i < compositions.size(); i++)
      for (auto [rows, columns] : {std::pair{17, 17}, {18, 33}, {130, 64}, {48, 333}}) {
        const auto tokens = static_cast<int64_t>((i * 13 + static_cast<size_t>(columns)) % 33 + 1);
        check(compositions[i], rows, columns, tokens, "ragged");
        if (HasFatalFailure()) return;
      }
  }
}

/// With scales of 1, y is the accumulator of the kernel: the CPU's, to the bit.
TEST(CudaProducts, IntegerProductsAreExact) {
  for (int bits = 2; bits <= 8; bits++)
    for (bool asymmetric : {false, true})
      for (ZeroKind zero : {ZeroKind::u8, ZeroKind::constant}) {
        ColumnSetRecord q = integers(bits, asymmetric);
        q.is_static = 1;
        q.scale = 1;
        q.low = asymmetric ? -130 : 0;
        const EncodingRecord e = affine_encoding(bits, 0, Element::f32, false, zero);
        const Composition c{"integers", {q}, {{e, 0, false, bits % 2 == 0, true}}};
        const OpenedLayer o(c, 37, 100);
        const int64_t tokens = bits % 2 == 0 ? 17 : 5;
        std::vector<float> x(static_cast<size_t>(tokens * 100));
        std::mt19937 random(3);
        for (float& v : x) v = static_cast<float>(static_cast<int>(random() % 801) - 400) / 2;
        const auto want = multiply_reference(o.file, o.file.tensor(0), x, true);
        const auto y = product(gpu(), o, x, false);
        ASSERT_TRUE(y) << y.error().message;
        for (size_t i = 0; i < y->size(); i++) ASSERT_EQ((*y)[i], want.y[i]) << bits << " at " << i;
      }
}

/// Several blocks of tokens and rows. Where the GPU has one multiprocessor, as in the second run of
/// these tests, the kernels for blocks of 128 tokens are taken.
TEST(CudaProducts, ManyTokens) {
  const auto all = column_set(ColumnKind::all);
  std::vector<EncodingRecord> encodings = {
      affine_encoding(4, 32, Element::u8, true, ZeroKind::u4),
      affine_encoding(4, 0, Element::f16, false, ZeroKind::minimum_f16),
      affine_encoding(8, 64, Element::f16, false, ZeroKind::minimum_f16),
      affine_encoding(8, 0, Element::f32, true, ZeroKind::u8),
      affine_encoding(3, 128, Element::e8m0, false, ZeroKind::u8),
      affine_encoding(7, 0, Element::bf16, false, ZeroKind::constant),
      minifloat_encoding(2, 1, MinifloatKind::ocp, 32, Element::u8, true)};
  for (const ColumnSetRecord& q : {all, integers(8, true), integers(6, false)})
    for (const EncodingRecord& e : encodings)
      for (int64_t tokens : {65, 200}) {
        check({describe(e), {q}, {{e}}, SmoothState::none, Element::none, 0, true}, 150, 200,
              tokens, "many");
        if (HasFatalFailure()) return;
      }
  // Minimums of eight groups at a time, and of what is left of them.
  for (int64_t columns : {256, 600})
    check(of_one(affine_encoding(4, 32, Element::f16, false, ZeroKind::minimum_f16)), 40, columns,
          70, "minimums");
  std::vector<EncodingRecord> halves = {real_encoding(Element::f16), real_encoding(Element::bf16)};
  for (int bits : {1, 2, 3, 5, 6, 7})
    halves.push_back(affine_encoding(bits, bits % 2 == 0 ? 96 : 32, Element::u8, true,
                                     bits % 3 == 0 ? ZeroKind::minimum_f16 : ZeroKind::u8));
  halves.push_back(levels_encoding(kNormalFloat, 64, Element::f16, true));
  halves.push_back(levels_encoding(std::span(kNormalFloat).last(4), 32, Element::f16, false));
  halves.push_back(minifloat_encoding(3, 2, MinifloatKind::ocp, 32, Element::e8m0, false));
  halves.push_back(minifloat_encoding(4, 3, MinifloatKind::ocp, 0, Element::f32, false));
  for (const EncodingRecord& e : halves)
    for (int64_t columns : {200, 192}) {  // the last step has a run, or two
      check({describe(e), {all}, {{e}}}, 150, columns, 130, "many");
      if (HasFatalFailure()) return;
    }
}

/// Three tiles: the last pair has one.
TEST(CudaProducts, EveryNumberOfTokens) {
  const auto kernels = every_kernel();
  for (int64_t tokens = 1; tokens <= 33; tokens++)
    for (size_t i = 0; i < kernels.size(); i++) {
      // All around the numbers at which another kernel takes over, of the others a third.
      const bool edge = tokens <= 5 || tokens == 8 || tokens == 9 || tokens == 16 || tokens == 17;
      if (!edge && (i + static_cast<size_t>(tokens)) % 3 != 0) continue;
      check(kernels[i], 35, 136, tokens, "tokens");
      if (HasFatalFailure()) return;
    }
}

/// Rows of one to nine tiles: warps and teams without rows of their own.
TEST(CudaProducts, EveryNumberOfTiles) {
  const auto kernels = every_kernel();
  for (int64_t tiles = 1; tiles <= 9; tiles++)
    for (size_t i = static_cast<size_t>(tiles) % 3; i < kernels.size(); i += 3) {
      check(kernels[i], tiles * 16 - tiles % 4, 96, tiles % 2 == 0 ? 3 : 13, "tiles");
      if (HasFatalFailure()) return;
    }
}

/// So long that warps, windows of scales and blocks share the columns.
TEST(CudaProducts, LongRows) {
  const auto all = column_set(ColumnKind::all);
  for (const EncodingRecord& e :
       {affine_encoding(4, 32, Element::u8, true, ZeroKind::u4),
        affine_encoding(8, 64, Element::f16, false, ZeroKind::minimum_f16),
        affine_encoding(3, 128, Element::f32, false, ZeroKind::u8),
        affine_encoding(5, 96, Element::bf16, false, ZeroKind::constant), bit_serial(2),
        levels_encoding(kLevels, 64, Element::e4m3, false), real_encoding(Element::f16)})
    for (int64_t tokens : {1, 11}) {
      check({describe(e), {all}, {{e}}}, 35, 10016, tokens, "long");
      if (HasFatalFailure()) return;
    }
  // Several windows for every warp.
  const EncodingRecord e = affine_encoding(4, 32, Element::u8, true, ZeroKind::u4);
  check({describe(e), {all}, {{e}}}, 16, 40000, 2, "longer");
}

/// One kernel for parts of which the first wants more shared memory than the second.
TEST(CudaProducts, APartAfterAWiderOne) {
  const EncodingRecord wide = affine_encoding(7, 0, Element::f32, false, ZeroKind::constant);
  const EncodingRecord slim = affine_encoding(3, 0, Element::f32, false, ZeroKind::constant);
  const Composition c{"", {integers(8, false)}, {{wide}, {slim}}};
  const OpenedLayer o(c, 20, 200);
  for (const int64_t tokens : {8, 20}) {
    const auto y = product(gpu(), o, random_tokens(tokens, 200, 1), false);
    ASSERT_TRUE(y) << y.error().message;
  }
}

}  // namespace
}  // namespace sqf

// Every composition of a layer that a file can hold, against the equation in the specification:
// the scalar path within rounding, every other instruction set and thread count to the bit.
#include <gtest/gtest.h>

#include <bit>

#include "format/rules.hpp"
#include "runtime/multiplier.hpp"
#include "tests/runtime/compositions.hpp"
#include "tests/runtime/multiply_reference.hpp"

namespace sqf {
namespace {

std::vector<Isa> every_isa() {
  std::vector<Isa> isas = {Isa::scalar};
  if (detected_isa() >= Isa::avx2) isas.push_back(Isa::avx2);
  if (detected_isa() >= Isa::avx512_vnni) isas.push_back(Isa::avx512_vnni);
  return isas;
}

std::vector<float> product(const OpenedLayer& o, const std::vector<float>& x, Isa isa, bool exact,
                           int threads) {
  ThreadPool pool(threads);
  Multiplier multiplier(isa, exact, &pool);
  const int64_t tokens = static_cast<int64_t>(x.size()) / o.linear.columns;
  const Linear* readers[] = {&o.linear};
  multiplier.prepare(readers, x.data(), tokens);
  std::vector<float> y(static_cast<size_t>(tokens * o.linear.rows));
  pool.run([&](int share, int shares) { multiplier.multiply(o.linear, y.data(), share, shares); });
  return y;
}

void expect_same_bits(const std::vector<float>& got, const std::vector<float>& want,
                      const std::string& what) {
  for (size_t i = 0; i < want.size(); i++)
    ASSERT_EQ(std::bit_cast<uint32_t>(got[i]), std::bit_cast<uint32_t>(want[i]))
        << what << " at " << i << ": " << got[i] << " and " << want[i];
}

/// As many roundings as a sum can go through: per group, per block of 64 columns, and some for
/// scales and codes.
double bound_of(const Linear& linear, double magnitude) {
  const auto groups = static_cast<double>(linear.columns / 16 + 1);
  return (2 * groups + 24) * 0x1p-24 * magnitude + 1e-30;
}

void check(const Composition& c, int64_t rows, int64_t columns, const std::string& quantizer) {
  const OpenedLayer o(c, rows, columns);
  ASSERT_EQ(o.linear.rows, rows);
  for (bool exact : {false, true})
    for (int64_t tokens : {1, 3, 17}) {
      const std::string what = c.name + ", " + quantizer + ", " + std::to_string(rows) + "x" +
                               std::to_string(columns) + ", tokens " + std::to_string(tokens) +
                               (exact ? ", exact" : "");
      const auto x = random_tokens(tokens, columns, static_cast<uint32_t>(tokens));
      const auto y = product(o, x, Isa::scalar, exact, 1);
      const ReferenceProduct want = multiply_reference(o.file, o.file.tensor(0), x, exact);
      for (size_t i = 0; i < y.size(); i++)
        ASSERT_NEAR(y[i], want.y[i], bound_of(o.linear, want.magnitude[i])) << what << " at " << i;
      for (Isa isa : every_isa())
        for (int threads : {1, 2})
          expect_same_bits(product(o, x, isa, exact, threads), y, isa_name(isa) + (" " + what));
      if (testing::Test::HasFatalFailure()) return;
    }
}

TEST(Composition, EveryQuantizerInEveryComposition) {
  const auto quantizers = every_quantizer();
  for (size_t q = 0; q < quantizers.size(); q++) {
    for (const Composition& c : every_composition(quantizers[q])) {
      check(c, 21, 100, "quantizer " + std::to_string(q));
      if (HasFatalFailure()) return;
    }
  }
}

TEST(Composition, RaggedShapes) {
  for (const ColumnSetRecord& q :
       {column_set(ColumnKind::all), integers(8, true), integers(4, false), minifloats(4, 3)})
    for (const Composition& c : every_composition(q))
      for (auto [rows, columns] : {std::pair{17, 17}, {33, 47}, {48, 64}, {18, 333}}) {
        check(c, rows, columns, "ragged");
        if (HasFatalFailure()) return;
      }
}

/// With scales of 1, y is the accumulator of the kernel; half of the activations are ties.
TEST(Composition, IntegerProductsAreExact) {
  for (int bits = 2; bits <= 8; bits++)
    for (bool asymmetric : {false, true})
      for (ZeroKind zero : {ZeroKind::u8, ZeroKind::constant}) {
        ColumnSetRecord q = integers(bits, asymmetric);
        q.is_static = 1;
        q.scale = 1;
        q.low = asymmetric ? -130 : 0;
        const EncodingRecord e = affine_encoding(bits, 0, Element::f32, false, zero);
        Composition c{"integers", {q}, {{e, 0, false, bits % 2 == 0, true}}};
        const OpenedLayer o(c, 37, 100);
        std::vector<float> x(17 * 100);
        std::mt19937 random(3);
        for (float& v : x) v = static_cast<float>(static_cast<int>(random() % 801) - 400) / 2;
        const ReferenceProduct want = multiply_reference(o.file, o.file.tensor(0), x, true);
        for (Isa isa : every_isa()) {
          const auto y = product(o, x, isa, false, 2);
          for (size_t i = 0; i < y.size(); i++) ASSERT_EQ(y[i], want.y[i]) << isa_name(isa) << i;
        }
      }
}

/// Every multiple of half of the smallest step: codes, ties between them, and what lies beyond.
TEST(Composition, MinifloatsRoundTiesToEven) {
  for (auto [exponent, mantissa] : {std::pair{2, 1}, {3, 2}, {4, 3}, {1, 2}}) {
    const ColumnSetRecord q = minifloats(exponent, mantissa, false, 1);
    const int bias = (1 << (exponent - 1)) - 1;
    const float half_step = std::ldexp(1.0f, -bias - mantissa);
    std::vector<float> x(40000);
    for (size_t i = 0; i < x.size(); i++)
      x[i] = half_step * static_cast<float>(static_cast<int>(i) - 20000);
    const auto want = reference::quantized(q, x, x.size());
    std::vector<float> got = x;
    round_activation(q, scale_of(q, range_of(x.data(), 40000)), got.data(), 40000);
    for (size_t i = 0; i < x.size(); i++) ASSERT_EQ(got[i], want[i].value) << x[i];
  }
}

/// The largest sums: 32768 columns in one segment, every q at an end of the 8 bits.
TEST(Composition, LongRowsOfAsymmetricIntegers) {
  ColumnSetRecord q = integers(8, true);
  q.is_static = 1;
  q.scale = 1;
  q.low = -5;
  const EncodingRecord e = affine_encoding(8, 0, Element::f32, false, ZeroKind::u8);
  const OpenedLayer o({"long", {q}, {{e, 0, false, false, true}}}, 16, 40000);
  for (const float value : {-1000.0f, 1000.0f}) {
    const std::vector<float> x(40000, value);
    const auto y = product(o, x, Isa::scalar, false, 1);
    const ReferenceProduct want = multiply_reference(o.file, o.file.tensor(0), x, true);
    for (size_t i = 0; i < y.size(); i++)
      ASSERT_NEAR(y[i], want.y[i], 8 * 0x1p-24 * want.magnitude[i]) << i;
    for (Isa isa : every_isa()) expect_same_bits(product(o, x, isa, false, 1), y, isa_name(isa));
  }
}

/// Readers of one activation get what each would get alone.
TEST(Composition, ReadersShareAnActivation) {
  std::vector<std::unique_ptr<OpenedLayer>> all;
  for (const ColumnSetRecord& q : {column_set(ColumnKind::all), integers(4, true)})
    for (const Composition& c : every_composition(q))
      all.push_back(std::make_unique<OpenedLayer>(c, 21, 100));
  const auto x = random_tokens(5, 100, 9);
  ThreadPool pool(2);
  Multiplier multiplier(best_isa(), false, &pool);
  std::vector<const Linear*> readers;
  for (const auto& o : all) readers.push_back(&o->linear);
  // What an earlier, larger activation left must not matter.
  const auto before = random_tokens(9, 100, 10);
  multiplier.prepare(readers, before.data(), 9);
  multiplier.prepare(readers, x.data(), 5);
  for (const auto& o : all) {
    std::vector<float> y(5 * 21);
    pool.run([&](int i, int n) { multiplier.multiply(o->linear, y.data(), i, n); });
    expect_same_bits(y, product(*o, x, best_isa(), false, 1), "shared");
  }
}

TEST(Composition, PartsOfOneSetShareAFeed) {
  const auto default4 = affine_encoding(4, 32, Element::u8, true, ZeroKind::u4);
  const OpenedLayer o({"shared",
                       {as(ColumnKind::list, integers(4, true)), column_set(ColumnKind::rest)},
                       {{default4, 0}, {default4, 0}, {default4, 0, true}, {default4, 1}}},
                      16, 64);
  ASSERT_EQ(o.linear.parts.size(), 4u);
  EXPECT_EQ(o.linear.parts[0].feed, o.linear.parts[1].feed);
  EXPECT_NE(o.linear.parts[0].feed, o.linear.parts[2].feed);
  EXPECT_NE(o.linear.parts[0].feed, o.linear.parts[3].feed);
  EXPECT_EQ(OpenedLayer({"plain", {column_set(ColumnKind::all)}, {{default4}}}, 16, 64)
                .linear.parts[0]
                .feed,
            nullptr);
}

TEST(Composition, RefusesListsThatLeadOutside) {
  const OpenedLayer o({"list",
                       {column_set(ColumnKind::list), column_set(ColumnKind::rest)},
                       {{real_encoding(Element::f16), 0}, {real_encoding(Element::f16), 1}}},
                      16, 64);
  std::string bytes = read_file(o.folder / "a.sqf");
  const Directory& d = o.file.head().directory;
  const uint32_t outside = 64;
  std::memcpy(bytes.data() + d.components[d.inputs[0].sets[0].columns].offset, &outside, 4);
  write_file(o.folder / "b.sqf", bytes);
  const auto file = ModelFile::open(o.folder / "b.sqf");
  ASSERT_TRUE(file);
  Feeds feeds;
  const auto linear = load_linear(*file, file->tensor(0), &feeds);
  ASSERT_FALSE(linear);
  EXPECT_EQ(linear.error().rule, static_cast<uint16_t>(Rule::column_list));
  EXPECT_EQ(linear.error().tensor, "w");
}

TEST(Composition, ZeroInputsAndNotANumber) {
  for (const ColumnSetRecord& q : every_quantizer()) {
    const OpenedLayer o({"zero", {q}, {{affine_encoding(4, 32, Element::u8, true, ZeroKind::u4)}}},
                        20, 100);
    std::vector<float> x(200, 0.0f);
    // 8 asymmetric bits are shifted: two terms around 1e-6 * 128 * sum(w) cancel up to rounding.
    const double bound = q.asymmetric && q.bits == 8 ? 1e-8 : 0;
    for (float y : product(o, x, best_isa(), false, 1)) {
      if (!q.is_static) {
        ASSERT_LE(std::fabs(y), bound);
      }
    }
    for (const float bad : {std::nanf(""), INFINITY, -INFINITY}) {
      x[150] = bad;
      const auto y = product(o, x, best_isa(), false, 1);
      for (size_t row = 0; row < 20; row++) {
        if (!q.is_static && !q.per_tensor) {
          EXPECT_LE(std::fabs(y[row]), bound);
        }
        EXPECT_TRUE(std::isnan(y[20 + row]));
      }
    }
  }
}

}  // namespace
}  // namespace sqf

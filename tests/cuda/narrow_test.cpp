// Integers in every form that tensor cores take them: 4-bit codes and bit-planes as they stand, and
// bytes, which are the same sums to the bit.
#include <gtest/gtest.h>

#include "tests/cuda/layer_product.hpp"
#include "tests/runtime/multiply_reference.hpp"

namespace sqf {
namespace {

/// All planes of radix 2.
EncodingRecord bit_planes(int bits, uint32_t group, Element scale, bool row_factor, ZeroKind zero) {
  EncodingRecord e = affine_encoding(bits, group, scale, row_factor, zero);
  e.plane_count = static_cast<uint8_t>(bits);
  std::fill(e.radices.begin(), e.radices.end(), 0);
  std::fill_n(e.radices.begin(), bits, 2);
  return e;
}

/// Integers as they are: a scale of 1.
ColumnSetRecord unit_integers(int bits, bool asymmetric) {
  ColumnSetRecord q = integers(bits, asymmetric);
  q.is_static = 1;
  q.scale = 1;
  q.low = asymmetric ? -3 : 0;
  return q;
}

/// Halves, a few of them beyond the ends of any integers.
std::vector<float> half_steps(int64_t tokens, int64_t columns) {
  std::mt19937 random(static_cast<uint32_t>(tokens * 131 + columns));
  std::vector<float> x(static_cast<size_t>(tokens * columns));
  for (float& v : x)
    v = static_cast<float>(static_cast<int>(random() % 61) - 30) / (random() % 8 == 0 ? 0.1f : 2);
  return x;
}

DevicePart part_of(const EncodingRecord& e, int columns) {
  DevicePart part = {};
  part.plane_count = e.plane_count;
  std::copy(e.radices.begin(), e.radices.end(), part.radices);
  part.values = e.grid == Grid::affine ? Values::affine : Values::table;
  const Grouping groups = grouping(e, columns);
  part.columns = columns;
  part.group = static_cast<int32_t>(groups.length);
  part.groups = static_cast<int32_t>(groups.count);
  return part;
}

/// On every GPU, with scales of 1, y is the CPU's accumulator to the bit.
void check_sums(const EncodingRecord& e, const ColumnSetRecord& q, int64_t rows, int64_t columns,
                int64_t tokens, FormType form) {
  const Composition c{"", {q}, {{e, 0, false, tokens % 2 == 0, true}}};
  const OpenedLayer o(c, rows, columns);
  const auto x = half_steps(tokens, columns);
  const auto want = multiply_reference(o.file, o.file.tensor(0), x, true);
  for (const char* settings : {"", "capability=9.0", "capability=10.0", "sms=1"}) {
    Readers readers;
    const auto y = product(gpu(settings), o, x, false, &readers);
    ASSERT_TRUE(y) << y.error().message;
    if (settings[0] == 0) {
      const IntegerForms forms = readers.layers[0][0].kernels.integers();
      ASSERT_EQ(tokens > 16 ? forms.many : forms.few, form) << describe(e) << " x " << int{q.bits};
    }
    for (size_t i = 0; i < y->size(); i++)
      ASSERT_EQ((*y)[i], want.y[i])
          << describe(e) << " x " << int{q.bits} << (q.asymmetric ? " asymmetric, " : ", ") << rows
          << "x" << columns << ", tokens " << tokens << " at " << i << ", " << settings;
  }
}

TEST(CudaNarrow, FormsByCapability) {
  const auto four = [](uint32_t group) {
    return part_of(affine_encoding(4, group, Element::f32, false, ZeroKind::u8), 1024);
  };
  const auto planes = [](int bits, uint32_t group) {
    return part_of(bit_planes(bits, group, Element::f32, false, ZeroKind::u8), 1024);
  };
  struct Choice {
    DevicePart part;
    int bits;
    FormType on_8, on_9;  ///< for many tokens
  };
  const Choice cases[] = {
      {four(0), 4, FormType::s4, FormType::s8},
      {four(64), 2, FormType::s4, FormType::s8},
      {four(192), 3, FormType::s4, FormType::s8},
      {four(0), 5, FormType::s8, FormType::s8},
      {four(32), 4, FormType::s8, FormType::s8},
      {four(96), 4, FormType::s8, FormType::s8},
      {part_of(affine_encoding(5, 0, Element::f32, false, ZeroKind::u8), 96), 4, FormType::s8,
       FormType::s8},
      {planes(1, 0), 8, FormType::b1, FormType::s8},
      {planes(1, 128), 4, FormType::b1, FormType::b1},
      {planes(1, 64), 4, FormType::s8, FormType::s8},
      {planes(2, 384), 2, FormType::b1, FormType::b1},
      {planes(2, 0), 4, FormType::b1, FormType::s8},
      {planes(2, 0), 5, FormType::s8, FormType::s8},
      {planes(3, 0), 2, FormType::b1, FormType::s8},
      {planes(3, 0), 3, FormType::s8, FormType::s8},
      {planes(4, 0), 2, FormType::b1, FormType::s8},
      {planes(5, 0), 2, FormType::s8, FormType::s8},
      {part_of(affine_encoding(3, 0, Element::f32, false, ZeroKind::u8), 96), 2, FormType::s8,
       FormType::s8},
      {part_of(levels_encoding(std::array{-1.0f, 1.0f}, 0, Element::f32, false), 96), 2,
       FormType::s8, FormType::s8},
  };
  for (size_t i = 0; i < std::size(cases); i++) {
    const Choice& c = cases[i];
    for (const int capability : {80, 86, 87, 89}) {
      const IntegerForms forms = integer_forms(capability, c.part, c.bits);
      EXPECT_EQ(forms.many, c.on_8) << i << " on " << capability;
      EXPECT_EQ(forms.few, c.on_8 == FormType::s4 ? FormType::s8 : c.on_8) << i;
    }
    EXPECT_EQ(integer_forms(90, c.part, c.bits).many, c.on_9) << i;
    EXPECT_EQ(integer_forms(90, c.part, c.bits).few, c.on_9) << i;
    for (const int capability : {100, 120}) {
      EXPECT_EQ(integer_forms(capability, c.part, c.bits).many, FormType::s8) << i;
      EXPECT_EQ(integer_forms(capability, c.part, c.bits).few, FormType::s8) << i;
    }
  }
}

TEST(CudaNarrow, BitPlanesAreExact) {
  constexpr int64_t kColumns[] = {1, 100, 128, 129, 300, 800, 1030};
  constexpr uint32_t kGroups[] = {0, 128, 256, 384};
  size_t turn = 0;
  for (int planes = 1; planes <= 4; planes++)
    for (int bits = 2; bits <= 8 && planes * activation_planes(bits) <= 8; bits++)
      for (const bool asymmetric : {false, true})
        for (const int64_t tokens : {1, 2, 5, 8, 9, 16, 17, 33}) {
          turn++;
          const ZeroKind zero = turn % 3 == 0   ? ZeroKind::constant
                                : turn % 3 == 1 ? ZeroKind::u4
                                                : ZeroKind::u8;
          const EncodingRecord e = bit_planes(planes, kGroups[turn % 4], Element::f32, false, zero);
          check_sums(e, unit_integers(bits, asymmetric), std::array{5, 37, 130}[turn % 3],
                     kColumns[turn % 7], tokens, FormType::b1);
          if (HasFatalFailure()) return;
        }
}

TEST(CudaNarrow, FourBitsAreExact) {
  constexpr int64_t kColumns[] = {1, 33, 64, 96, 100, 333, 640};
  constexpr uint32_t kGroups[] = {0, 64, 128, 192};
  size_t turn = 0;
  for (int bits = 2; bits <= 4; bits++)
    for (const bool asymmetric : {false, true})
      for (const int64_t tokens : {1, 17, 18, 33, 64, 65, 130}) {
        turn++;
        const ZeroKind zero = turn % 3 == 0   ? ZeroKind::constant
                              : turn % 3 == 1 ? ZeroKind::u4
                                              : ZeroKind::u8;
        const EncodingRecord e = affine_encoding(4, kGroups[turn % 4], Element::f32, false, zero);
        check_sums(e, unit_integers(bits, asymmetric), std::array{5, 37, 130}[turn % 3],
                   kColumns[turn % 5 + turn % 3], tokens,
                   tokens > 16 ? FormType::s4 : FormType::s8);
        if (HasFatalFailure()) return;
      }
}

/// So long that warps begin and end inside groups, and windows of scales and blocks follow others.
TEST(CudaNarrow, LongRows) {
  for (const uint32_t group : {0u, 128u, 1024u, 1152u})
    for (const auto& [planes, bits, tokens] : {std::tuple{2, 4, 3}, {1, 8, 8}, {4, 2, 16}}) {
      const EncodingRecord e = bit_planes(planes, group, Element::f32, false, ZeroKind::u8);
      check_sums(e, unit_integers(bits, true), 19, 24100, tokens, FormType::b1);
      if (HasFatalFailure()) return;
    }
}

/// Every quantizer, scale and zero in layers with all that goes with them.
TEST(CudaNarrow, CompositionsOfEveryQuantizer) {
  size_t turn = 0;
  for (const ColumnSetRecord& q : every_quantizer()) {
    if (q.quantizer != QuantizerKind::integer) continue;
    for (const int planes : {1, 2, 4}) {
      turn++;
      const Element scale = std::array{Element::f32, Element::f16,  Element::bf16,
                                       Element::u8,  Element::e8m0, Element::e4m3}[turn % 6];
      const ZeroKind zero = std::array{ZeroKind::constant, ZeroKind::u4, ZeroKind::u8,
                                       ZeroKind::minimum_f16}[turn % 4];
      const uint32_t group = std::array{0u, 128u, 256u}[turn % 3];
      const bool nibbles = planes == 4 && turn % 2 == 0;
      const EncodingRecord e = nibbles ? affine_encoding(4, group, scale, turn % 5 < 2, zero)
                                       : bit_planes(planes, group, scale, turn % 5 < 2, zero);
      const bool sums = zero != ZeroKind::minimum_f16;
      const Composition c{describe(e),
                          {column_set(ColumnKind::list), as(ColumnKind::rest, q)},
                          {{real_encoding(Element::f16), 0}, {e, 1, turn % 3 == 0, sums}},
                          turn % 2 == 0 ? SmoothState::apply : SmoothState::none,
                          turn % 4 == 0 ? Element::f16 : Element::none,
                          turn % 4 == 0 ? 3 : 0,
                          true};
      const OpenedLayer o(c, 37, 500);
      const auto tokens = static_cast<int64_t>(turn * 7 % 33 + 1);
      const auto x = random_tokens(tokens, 500, static_cast<uint32_t>(turn));
      const auto want = multiply_reference(o.file, o.file.tensor(0), x, true);
      const auto y = product(gpu(), o, x, false);
      ASSERT_TRUE(y) << y.error().message;
      for (size_t i = 0; i < y->size(); i++)
        ASSERT_NEAR((*y)[i], want.y[i], bound_of(o.linear, want.magnitude[i], tokens <= 4))
            << c.name << " x " << int{q.bits} << ", tokens " << tokens << ", at " << i;
      if (tokens <= 16) continue;
      // Sums are scaled in the same order, whatever they were made of.
      const auto bytes = product(gpu("capability=10.0"), o, x, false);
      ASSERT_TRUE(bytes) << bytes.error().message;
      ASSERT_EQ(*y, *bytes) << c.name << " x " << int{q.bits} << ", tokens " << tokens;
    }
  }
}

}  // namespace
}  // namespace sqf

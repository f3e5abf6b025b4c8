// The matrix instructions against matrix products over fragments that are packed as the manual
// says, and its layout tables against places written out by hand.
#include "tests/cuda_emulator/matrix.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <random>
#include <set>

#include "format/scalar.hpp"
#include "tests/cuda_emulator/matrix_layouts.hpp"
#include "tests/cuda_emulator/matrix_list.hpp"

namespace sqf {
namespace {

struct Listed {
  std::string_view suffix;
  int a, b, c;
};

#define SQF_LISTED(name, suffix, a, b, c) {suffix, a, b, c},
constexpr Listed kListed[] = {SQF_MMA_LIST(SQF_LISTED) SQF_MMA_LIST_FP8(SQF_LISTED)};
#undef SQF_LISTED

TEST(Matrix, HasEveryListedInstructionWithItsRegisters) {
  EXPECT_EQ(mma_instructions().size(), std::size(kListed));
  for (const Listed& listed : kListed) {
    const MatrixInstruction* found = find_mma(listed.suffix);
    ASSERT_NE(found, nullptr) << listed.suffix;
    EXPECT_EQ(found->suffix, listed.suffix);
    EXPECT_EQ(found->a, listed.a) << listed.suffix;
    EXPECT_EQ(found->b, listed.b) << listed.suffix;
    EXPECT_EQ(found->c, listed.c) << listed.suffix;
    EXPECT_EQ(found->d, listed.c) << listed.suffix;
  }
}

TEST(Matrix, KnowsNoOtherNames) {
  for (std::string_view suffix :
       {"", "m16n8k16", "m16n8k16.row.row.f32.f16.f16.f32", "m16n8k16.row.col.f32.f16.bf16.f32",
        "m16n8k16.row.col.f32.f16.f16.f16", "m16n8k64.row.col.s32.s8.s8.s32",
        "m16n8k32.row.col.s32.s8.s8.s32.satfinite", "m16n8k256.row.col.s32.b1.b1.s32.popc",
        "m8n8k4.row.col.f64.f64.f64.f64", "m16n8k16.row.col.f32.f16.f16.f32 "})
    EXPECT_EQ(find_mma(suffix), nullptr) << suffix;
}

// Row and column of the lowest element of each register; the others follow along k. Lanes 0, 6
// (group 1, thread 2) and 31 (group 7, thread 3), worked out by hand from the manual.
struct HandWritten {
  int bits, k;
  std::vector<MatrixSpot> a[3], b[3];
};

const HandWritten kHandWritten[] = {
    {16,
     8,
     {{{0, 0}, {8, 0}}, {{1, 4}, {9, 4}}, {{7, 6}, {15, 6}}},
     {{{0, 0}}, {{4, 1}}, {{6, 7}}}},
    {16,
     16,
     {{{0, 0}, {8, 0}, {0, 8}, {8, 8}},
      {{1, 4}, {9, 4}, {1, 12}, {9, 12}},
      {{7, 6}, {15, 6}, {7, 14}, {15, 14}}},
     {{{0, 0}, {8, 0}}, {{4, 1}, {12, 1}}, {{6, 7}, {14, 7}}}},
    {32,
     4,
     {{{0, 0}, {8, 0}}, {{1, 2}, {9, 2}}, {{7, 3}, {15, 3}}},
     {{{0, 0}}, {{2, 1}}, {{3, 7}}}},
    {32,
     8,
     {{{0, 0}, {8, 0}, {0, 4}, {8, 4}},
      {{1, 2}, {9, 2}, {1, 6}, {9, 6}},
      {{7, 3}, {15, 3}, {7, 7}, {15, 7}}},
     {{{0, 0}, {4, 0}}, {{2, 1}, {6, 1}}, {{3, 7}, {7, 7}}}},
    {8,
     16,
     {{{0, 0}, {8, 0}}, {{1, 8}, {9, 8}}, {{7, 12}, {15, 12}}},
     {{{0, 0}}, {{8, 1}}, {{12, 7}}}},
    {8,
     32,
     {{{0, 0}, {8, 0}, {0, 16}, {8, 16}},
      {{1, 8}, {9, 8}, {1, 24}, {9, 24}},
      {{7, 12}, {15, 12}, {7, 28}, {15, 28}}},
     {{{0, 0}, {16, 0}}, {{8, 1}, {24, 1}}, {{12, 7}, {28, 7}}}},
    {4,
     32,
     {{{0, 0}, {8, 0}}, {{1, 16}, {9, 16}}, {{7, 24}, {15, 24}}},
     {{{0, 0}}, {{16, 1}}, {{24, 7}}}},
    {4,
     64,
     {{{0, 0}, {8, 0}, {0, 32}, {8, 32}},
      {{1, 16}, {9, 16}, {1, 48}, {9, 48}},
      {{7, 24}, {15, 24}, {7, 56}, {15, 56}}},
     {{{0, 0}, {32, 0}}, {{16, 1}, {48, 1}}, {{24, 7}, {56, 7}}}},
    {1,
     128,
     {{{0, 0}, {8, 0}}, {{1, 64}, {9, 64}}, {{7, 96}, {15, 96}}},
     {{{0, 0}}, {{64, 1}}, {{96, 7}}}},
    {1,
     256,
     {{{0, 0}, {8, 0}, {0, 128}, {8, 128}},
      {{1, 64}, {9, 64}, {1, 192}, {9, 192}},
      {{7, 96}, {15, 96}, {7, 224}, {15, 224}}},
     {{{0, 0}, {128, 0}}, {{64, 1}, {192, 1}}, {{96, 7}, {224, 7}}}},
};
constexpr int kHandLanes[] = {0, 6, 31};

TEST(MatrixLayouts, AreTheHandWrittenOnes) {
  ASSERT_EQ(fragment_layouts().size(), std::size(kHandWritten));
  for (size_t l = 0; l < std::size(kHandWritten); l++) {
    const FragmentLayout& layout = fragment_layouts()[l];
    const HandWritten& hand = kHandWritten[l];
    ASSERT_EQ(layout.bits, hand.bits);
    ASSERT_EQ(layout.k, hand.k);
    const int n = 32 / layout.bits;
    for (size_t j = 0; j < 3; j++) {
      const int group = kHandLanes[j] / 4, thread = kHandLanes[j] % 4;
      ASSERT_EQ(layout.a_elements, static_cast<int>(hand.a[j].size()) * n);
      ASSERT_EQ(layout.b_elements, static_cast<int>(hand.b[j].size()) * n);
      for (int i = 0; i < layout.a_elements; i++) {
        const MatrixSpot first = hand.a[j][static_cast<size_t>(i / n)];
        ASSERT_EQ(layout.a(group, thread, i), (MatrixSpot{first.row, first.col + i % n})) << i;
      }
      for (int i = 0; i < layout.b_elements; i++) {
        const MatrixSpot first = hand.b[j][static_cast<size_t>(i / n)];
        ASSERT_EQ(layout.b(group, thread, i), (MatrixSpot{first.row + i % n, first.col})) << i;
      }
    }
  }
  const MatrixSpot lane6[] = {{1, 4}, {1, 5}, {9, 4}, {9, 5}};
  const MatrixSpot lane31[] = {{7, 6}, {7, 7}, {15, 6}, {15, 7}};
  for (int i = 0; i < 4; i++) {
    EXPECT_EQ(accumulator_spot(6, i), lane6[i]);
    EXPECT_EQ(accumulator_spot(31, i), lane31[i]);
  }
}

TEST(MatrixLayouts, HoldEveryElementOnce) {
  for (const FragmentLayout& layout : fragment_layouts()) {
    std::set<std::pair<int, int>> a, b, c;
    for (int lane = 0; lane < 32; lane++) {
      const auto add = [](auto& seen, MatrixSpot spot, int rows, int columns) {
        ASSERT_TRUE(spot.row >= 0 && spot.row < rows && spot.col >= 0 && spot.col < columns);
        ASSERT_TRUE(seen.emplace(spot.row, spot.col).second);
      };
      for (int i = 0; i < layout.a_elements; i++)
        add(a, layout.a(lane / 4, lane % 4, i), 16, layout.k);
      for (int i = 0; i < layout.b_elements; i++)
        add(b, layout.b(lane / 4, lane % 4, i), layout.k, 8);
      for (int i = 0; i < 4; i++) add(c, accumulator_spot(lane, i), 16, 8);
    }
    EXPECT_EQ(a.size(), static_cast<size_t>(16 * layout.k));
    EXPECT_EQ(b.size(), static_cast<size_t>(8 * layout.k));
    EXPECT_EQ(c.size(), 16u * 8u);
  }
}

/// A product by definition: patterns of a [16][k], b [k][8], c and d [16][8].
class Product {
 public:
  explicit Product(const MatrixInstruction& instruction)
      : instruction_(instruction),
        named_(parse_suffix(instruction.suffix)),
        k_(named_.layout->k),
        a_(static_cast<size_t>(16 * k_)),
        b_(static_cast<size_t>(8 * k_)),
        c_(16 * 8),
        a_values_(a_.size()),
        b_values_(b_.size()) {}

  const NamedInstruction& named() const { return named_; }
  int k() const { return k_; }

  void set_a(int row, int k, uint32_t pattern, double value) {
    a_[static_cast<size_t>(row * k_ + k)] = pattern;
    a_values_[static_cast<size_t>(row * k_ + k)] = value;
  }
  void set_b(int k, int col, uint32_t pattern, double value) {
    b_[static_cast<size_t>(k * 8 + col)] = pattern;
    b_values_[static_cast<size_t>(k * 8 + col)] = value;
  }
  void set_c(int row, int col, uint32_t pattern) {
    c_[static_cast<size_t>(row * 8 + col)] = pattern;
  }

  template <typename Random>
  void fill(Random& random) {
    for (int row = 0; row < 16; row++)
      for (int k = 0; k < k_; k++) {
        const auto& [pattern, value] = pick(named_.a->samples, random);
        set_a(row, k, pattern, value);
      }
    for (int k = 0; k < k_; k++)
      for (int col = 0; col < 8; col++) {
        const auto& [pattern, value] = pick(named_.b->samples, random);
        set_b(k, col, pattern, value);
      }
    for (int row = 0; row < 16; row++)
      for (int col = 0; col < 8; col++) set_c(row, col, accumulator(random));
  }
  void clear_a() { std::ranges::fill(a_, 0u), std::ranges::fill(a_values_, 0.0); }
  void clear_b() { std::ranges::fill(b_, 0u), std::ranges::fill(b_values_, 0.0); }

  std::vector<uint32_t> run() const { return multiply_patterns(instruction_, a_, b_, c_); }

  /// Sums of few small values, which are exact in every order.
  std::vector<uint32_t> expected() const {
    std::vector<uint32_t> result;
    for (int row = 0; row < 16; row++)
      for (int col = 0; col < 8; col++) {
        double sum = 0;
        for (int k = 0; k < k_; k++) {
          const double x = a_values_[static_cast<size_t>(row * k_ + k)];
          const double y = b_values_[static_cast<size_t>(k * 8 + col)];
          sum += named_.bitwise_xor ? (x != y ? 1 : 0) : x * y;
        }
        result.push_back(rounded(sum, c_[static_cast<size_t>(row * 8 + col)]));
      }
    return result;
  }

 private:
  template <typename Random>
  static const std::pair<uint32_t, double>& pick(
      const std::vector<std::pair<uint32_t, double>>& samples, Random& random) {
    return samples[random() % samples.size()];
  }
  template <typename Random>
  uint32_t accumulator(Random& random) const {
    constexpr uint32_t kIntegers[] = {0, 1, 0xffffffff, 0x7fffffff, 0x80000000, 12345};
    constexpr float kFloats[] = {0, 1, -1.5f, 0.125f, -8};
    if (named_.sum == "s32") return kIntegers[random() % std::size(kIntegers)];
    const float value = kFloats[random() % std::size(kFloats)];
    return named_.sum == "f16" ? f32_to_f16(value) : std::bit_cast<uint32_t>(value);
  }
  uint32_t rounded(double sum, uint32_t c) const {
    if (named_.sum == "f32")
      return std::bit_cast<uint32_t>(static_cast<float>(sum + std::bit_cast<float>(c)));
    if (named_.sum == "f16")
      return f32_to_f16(static_cast<float>(sum + f16_to_f32(static_cast<uint16_t>(c))));
    const int64_t whole = static_cast<int64_t>(sum) + static_cast<int32_t>(c);
    using Limits = std::numeric_limits<int32_t>;
    return static_cast<uint32_t>(
        named_.satfinite ? std::clamp<int64_t>(whole, Limits::min(), Limits::max()) : whole);
  }

  const MatrixInstruction& instruction_;
  NamedInstruction named_;
  int k_;
  std::vector<uint32_t> a_, b_, c_;
  std::vector<double> a_values_, b_values_;
};

TEST(Matrix, OneElementOfAIsWhereTheManualSays) {
  std::mt19937 random(1);
  for (const MatrixInstruction& instruction : mma_instructions()) {
    Product product(instruction);
    product.fill(random);
    product.clear_a();
    for (int row = 0; row < 16; row++)
      for (int k = 0; k < product.k(); k++) {
        product.set_a(row, k, product.named().a->one, 1);
        ASSERT_EQ(product.run(), product.expected())
            << instruction.suffix << " a[" << row << "][" << k << "]";
        product.set_a(row, k, 0, 0);
      }
  }
}

TEST(Matrix, OneElementOfBIsWhereTheManualSays) {
  std::mt19937 random(2);
  for (const MatrixInstruction& instruction : mma_instructions()) {
    Product product(instruction);
    product.fill(random);
    product.clear_b();
    for (int k = 0; k < product.k(); k++)
      for (int col = 0; col < 8; col++) {
        product.set_b(k, col, product.named().b->one, 1);
        ASSERT_EQ(product.run(), product.expected())
            << instruction.suffix << " b[" << k << "][" << col << "]";
        product.set_b(k, col, 0, 0);
      }
  }
}

TEST(Matrix, MultipliesFullMatrices) {
  std::mt19937 random(3);
  for (const MatrixInstruction& instruction : mma_instructions())
    for (int repetition = 0; repetition < 20; repetition++) {
      Product product(instruction);
      product.fill(random);
      ASSERT_EQ(product.run(), product.expected()) << instruction.suffix;
    }
}

/// Every element of a and b alike, one accumulator: one number.
uint32_t constant_product(std::string_view suffix, uint32_t a, uint32_t b, uint32_t c) {
  const MatrixInstruction* found = find_mma(suffix);
  if (found == nullptr) return 0xdeadbeef;
  const Registers left(static_cast<size_t>(found->a * 32), a);
  const Registers right(static_cast<size_t>(found->b * 32), b);
  const Registers start(static_cast<size_t>(found->c * 32), c);
  Registers result(start.size());
  found->run(warp(left), warp(right), warp(start), warp(result));
  for (uint32_t value : result) EXPECT_EQ(value, result[0]) << suffix;
  return result[0];
}

TEST(Matrix, WrapsOrSaturatesAsNamed) {
  const auto of = constant_product;
  // 32 * 128 * 128 = 0x80000 above the largest.
  EXPECT_EQ(of("m16n8k32.row.col.s32.s8.s8.s32", 0x80808080, 0x80808080, 0x7fffffff), 0x8007ffffu);
  EXPECT_EQ(of("m16n8k32.row.col.satfinite.s32.s8.s8.s32", 0x80808080, 0x80808080, 0x7fffffff),
            0x7fffffffu);
  // 32 * -128 * 255 = -0xff000 below the smallest.
  EXPECT_EQ(of("m16n8k32.row.col.s32.s8.u8.s32", 0x80808080, 0xffffffff, 0x80000000), 0x7ff01000u);
  EXPECT_EQ(of("m16n8k32.row.col.satfinite.s32.u8.s8.s32", 0xffffffff, 0x80808080, 0x80000000),
            0x80000000u);
  EXPECT_EQ(of("m16n8k16.row.col.s32.u8.u8.s32", 0xffffffff, 0xffffffff, 0), 16u * 255 * 255);
  EXPECT_EQ(of("m16n8k64.row.col.s32.u4.u4.s32", 0xffffffff, 0xffffffff, 0), 64u * 15 * 15);
  EXPECT_EQ(of("m16n8k64.row.col.s32.s4.s4.s32", 0x88888888, 0x88888888, 1), 64u * 8 * 8 + 1);
  EXPECT_EQ(of("m16n8k64.row.col.satfinite.s32.s4.s4.s32", 0x88888888, 0x77777777, 0x80000000),
            0x80000000u);
  EXPECT_EQ(of("m16n8k32.row.col.s32.s4.u4.s32", 0xffffffff, 0xffffffff, 0), 0u - 32 * 15);
  EXPECT_EQ(of("m16n8k256.row.col.s32.b1.b1.s32.xor.popc", 0xffffffff, 0, 0x7fffffff), 0x800000ffu);
  EXPECT_EQ(of("m16n8k256.row.col.s32.b1.b1.s32.and.popc", 0xffffffff, 0x0f0f0f0f, 7), 135u);
}

/// As compilers like to have it.
TEST(Matrix, MayWriteOverWhatItReads) {
  std::mt19937 random(5);
  for (const MatrixInstruction& instruction : mma_instructions()) {
    Registers registers(static_cast<size_t>((instruction.a + instruction.b + instruction.c) * 32));
    for (uint32_t& word : registers) word = random() & 0x3fff3fff;  // no infinity in any type
    const auto a = [&](Registers& all) { return warp(all); };
    const auto b = [&](Registers& all) { return warp(all) + instruction.a; };
    const auto c = [&](Registers& all) { return warp(all) + instruction.a + instruction.b; };
    Registers result(static_cast<size_t>(instruction.d * 32));
    instruction.run(a(registers), b(registers), c(registers), warp(result));
    for (const auto& target : {a(registers), c(registers), c(registers) - 1}) {
      const auto offset = target - warp(registers);
      if (offset + instruction.d > instruction.a + instruction.b + instruction.c) continue;
      Registers over = registers;
      instruction.run(a(over), b(over), c(over), warp(over) + offset);
      EXPECT_TRUE(std::equal(result.begin(), result.end(), over.begin() + offset * 32))
          << instruction.suffix << ' ' << offset;
    }
  }
}

}  // namespace
}  // namespace sqf

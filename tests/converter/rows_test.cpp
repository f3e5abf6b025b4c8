// Rows decoded to f32: the element types, unaligned bytes, and the rotary order.
#include <gtest/gtest.h>

#include <bit>

#include "format/scalar.hpp"
#include "tests/converter/inputs.hpp"

namespace sqf {
namespace {

bool same_bits(float a, float b) {
  return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b);
}

SourceTensor tensor_of(SourceType type, std::vector<int64_t> shape, std::string_view bytes) {
  SourceTensor out;
  out.type = type;
  out.shape = std::move(shape);
  out.bytes = as_bytes(bytes);
  return out;
}

std::vector<float> rows_of(const SourceTensor& tensor, int64_t row, int64_t count) {
  std::vector<float> out(static_cast<size_t>(count * column_count(tensor)));
  read_rows(tensor, row, count, out.data());
  return out;
}

/// Every f16 there is, once from an odd address, with a length that leaves a rest of 7.
TEST(ReadRows, F16TakesTheFastAndTheScalarPathAlike) {
  std::string bytes(1, 'x');
  for (uint32_t i = 0; i < 65535; ++i) bytes += number_bytes(static_cast<uint16_t>(i));
  const SourceTensor tensor =
      tensor_of(SourceType::f16, {1, 65535}, std::string_view(bytes).substr(1));
  const std::vector<float> got = rows_of(tensor, 0, 1);
  for (uint32_t i = 0; i < 65535; ++i)
    ASSERT_TRUE(same_bits(got[i], f16_to_f32(static_cast<uint16_t>(i)))) << i;
}

TEST(ReadRows, Bf16AndF32) {
  std::string bytes(1, 'x');
  for (uint32_t i = 0; i < 6; ++i) bytes += number_bytes(static_cast<uint16_t>(0x3f80 + i));
  const SourceTensor brain = tensor_of(SourceType::bf16, {3, 2}, std::string_view(bytes).substr(1));
  EXPECT_EQ(rows_of(brain, 1, 2),
            (std::vector<float>{1.015625f, 1.0234375f, 1.03125f, 1.0390625f}));
  std::string wide(1, 'x');
  wide += f32_bytes({1, 2, 3, 4, 5, 6});
  const SourceTensor single = tensor_of(SourceType::f32, {3, 2}, std::string_view(wide).substr(1));
  EXPECT_EQ(rows_of(single, 2, 1), (std::vector<float>{5, 6}));
  EXPECT_EQ(rows_of(single, 3, 0), std::vector<float>());
}

TEST(ReadRows, BlocksByTheirFormula) {
  std::string codes;
  for (int j = 0; j < 16; ++j) codes += static_cast<char>(j | (15 - j) << 4);
  const std::string scale = number_bytes(f32_to_f16(0.5f));
  const std::string q4_0 = scale + codes;
  const std::string q4_1 = scale + number_bytes(f32_to_f16(-3.0f)) + codes;
  std::string q8_0 = scale;
  for (int j = 0; j < 32; ++j) q8_0 += static_cast<char>(j * 8 - 128);
  // Two rows of which the second counts.
  const auto second = [&](SourceType type, const std::string& block) {
    const std::string both = std::string(block.size(), '\x11') + block;
    return rows_of(tensor_of(type, {2, 32}, both), 1, 1);
  };
  const std::vector<float> a = second(SourceType::q4_0, q4_0);
  const std::vector<float> b = second(SourceType::q4_1, q4_1);
  const std::vector<float> c = second(SourceType::q8_0, q8_0);
  for (size_t j = 0; j < 16; ++j) {
    const float low = static_cast<float>(j);
    EXPECT_EQ(a[j], 0.5f * (low - 8));
    EXPECT_EQ(a[j + 16], 0.5f * (7 - low));
    EXPECT_EQ(b[j], 0.5f * low - 3);
    EXPECT_EQ(b[j + 16], 0.5f * (15 - low) - 3);
    EXPECT_EQ(c[j], 0.5f * (8 * low - 128));
    EXPECT_EQ(c[j + 16], 0.5f * (8 * low));
  }
}

/// Two heads of 4: GGUF stores rows 0 2 1 3 (of Hugging Face) in each head.
TEST(ReadRows, RotaryRowsComeInHuggingFaceOrder) {
  const std::string bytes = f32_bytes(counting(16));
  SourceTensor tensor = tensor_of(SourceType::f32, {8, 2}, bytes);
  tensor.rotary_heads = 2;
  const std::vector<int64_t> stored = {0, 2, 1, 3, 4, 6, 5, 7};
  for (int64_t row = 0; row < 8; ++row) {
    EXPECT_EQ(stored_row(tensor, row), stored[static_cast<size_t>(row)]);
    const float first = static_cast<float>(2 * stored[static_cast<size_t>(row)]);
    EXPECT_EQ(rows_of(tensor, row, 1), (std::vector<float>{first, first + 1}));
    EXPECT_EQ(row_bytes(tensor, row).data(),
              tensor.bytes.data() + 8 * stored[static_cast<size_t>(row)]);
  }
  EXPECT_EQ(rows_of(tensor, 1, 3), (std::vector<float>{4, 5, 2, 3, 6, 7}));
  // A head of 6, where the permutation is not its own inverse.
  SourceTensor wide = tensor_of(SourceType::f32, {6, 1}, bytes);
  wide.bytes = wide.bytes.first(24);
  wide.rotary_heads = 1;
  EXPECT_EQ(rows_of(wide, 0, 6), (std::vector<float>{0, 2, 4, 1, 3, 5}));
  SourceTensor bias = tensor_of(SourceType::f32, {6}, bytes);
  bias.rotary_heads = 1;
  EXPECT_EQ(rows_of(bias, 0, 1), (std::vector<float>{0, 2, 4, 1, 3, 5}));
}

TEST(ReadRows, RankThreeIsMatricesOneAfterAnother) {
  const std::string bytes = f32_bytes(counting(12));
  const SourceTensor tensor = tensor_of(SourceType::f32, {2, 3, 2}, bytes);
  EXPECT_EQ(row_count(tensor), 6);
  EXPECT_EQ(rows_of(tensor, 4, 2), (std::vector<float>{8, 9, 10, 11}));
}

}  // namespace
}  // namespace sqf

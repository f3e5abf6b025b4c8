#include <bit>
#include <cmath>
#include <random>

#include "format/scalar.hpp"
#include "tests/cuda_emulator/number.hpp"
#include "tests/cuda_emulator/test_device.hpp"

// f16, bf16 and 8-bit floats: every f16 through the conversions, arithmetic against f32 and against
// cases made by hand.

namespace sqf {
namespace {

TEST(EmulatorNumber, EveryHalfGoesToF32AndBack) {
  for (uint32_t bits = 0; bits < 0x10000; bits++) {
    const auto half = static_cast<uint16_t>(bits);
    if (std::isnan(f16_to_f32(half))) {
      ASSERT_TRUE(std::isnan(from_f16(bits)));
      ASSERT_EQ(to_f16(from_f16(bits)), 0x7fff);
    } else {
      ASSERT_EQ(static_cast<float>(from_f16(bits)), f16_to_f32(half));
      ASSERT_EQ(decode(bits, kF16), from_f16(bits));
      ASSERT_EQ(to_f16(from_f16(bits)), half);
    }
  }
}

TEST(EmulatorNumber, RoundsF32ToHalvesAsTheFormatDoes) {
  std::mt19937 random(3);
  for (int i = 0; i < 300000; i++) {
    const auto value = std::bit_cast<float>(static_cast<uint32_t>(random()));
    if (std::isnan(value)) continue;
    ASSERT_EQ(to_f16(value), f32_to_f16(value)) << value;
    ASSERT_EQ(to_bf16(value), f32_to_bf16(value)) << value;
    const float near = std::ldexp(1 + static_cast<float>(random() % 4096) / 4096,
                                  static_cast<int>(random() % 44) - 27);
    ASSERT_EQ(to_f16(near), f32_to_f16(near)) << near;
  }
}

TEST(EmulatorNumber, EightBitsSaturateAndRoundToEven) {
  for (uint32_t bits = 0; bits < 256; bits++) {
    const double value = decode(bits, kE4m3);
    if ((bits & 0x7f) == 0x7f) {
      ASSERT_TRUE(std::isnan(value));
    } else {
      ASSERT_EQ(static_cast<float>(value), e4m3_to_f32(static_cast<uint8_t>(bits)));
      ASSERT_EQ(encode(exact(value), kE4m3, Rounding::nearest_even, true), bits);
    }
  }
  EXPECT_EQ(encode(exact(1e9), kE4m3, Rounding::nearest_even, true), 0x7eu);  // 448
  EXPECT_EQ(encode(exact(1e9), kE5m2, Rounding::nearest_even, true), 0x7bu);  // 57344
  EXPECT_EQ(encode(exact(1e9), kE5m2, Rounding::nearest_even), 0x7cu);
  EXPECT_EQ(encode(exact(1.0625), kE4m3, Rounding::nearest_even, true), 0x38u);  // a tie
  EXPECT_EQ(encode(exact(1.1875), kE4m3, Rounding::nearest_even, true), 0x3au);
}

TEST(EmulatorNumber, RoundToOddMakesOneRoundingOfTwo) {
  // 1 + 2^-11 is halfway between halves; a sum beyond 53 bits decides the tie.
  const double half_way = 1 + 0x1p-11;
  EXPECT_EQ(to_f16(add_to_odd(half_way, 0x1p-60)), 0x3c01);
  EXPECT_EQ(to_f16(add_to_odd(half_way, -0x1p-60)), 0x3c00);
  EXPECT_EQ(to_f16(half_way), 0x3c00);
  EXPECT_EQ(to_f32(divide_to_odd(1, 3), Rounding::up),
            std::nextafter(to_f32(divide_to_odd(1, 3), Rounding::down), 1.0f));
}

/// Both halves of %r10 from those of %r11, %r12, %r13.
std::vector<uint32_t> apply_pairs(const std::string& instruction, const std::vector<uint32_t>& a,
                                  const std::vector<uint32_t>& b, const std::vector<uint32_t>& c) {
  TestDevice device("capability=9.0");
  const CUdeviceptr out = device.room(128);
  EXPECT_EQ(
      device.run(kernel_of(4, element(10, 0) + element(11, 1) + element(12, 2) + element(13, 3) +
                                  "ld.global.b32 %r11, [%rd11]; ld.global.b32 %r12, [%rd12];"
                                  "ld.global.b32 %r13, [%rd13];" +
                                  instruction + "st.global.b32 [%rd10], %r10;"),
                 1, 32, {out, device.up(a), device.up(b), device.up(c)}),
      CUDA_SUCCESS);
  return device.down<uint32_t>(out, 32);
}

struct Pairs {
  std::vector<uint32_t> a, b, c;
};
Pairs moderate_pairs() {  // exponents within +-4: no overflow, and f32 sums are exact before one
                          // rounding
  std::mt19937 random(5);
  const auto half = [&] { return (random() & 0x8000) | (0x2c00 + random() % 0x2000); };
  Pairs out;
  for (int i = 0; i < 32; i++) {
    out.a.push_back(static_cast<uint32_t>(half() | half() << 16));
    out.b.push_back(static_cast<uint32_t>(half() | half() << 16));
    out.c.push_back(static_cast<uint32_t>(half() | half() << 16));
  }
  return out;
}

template <class F>
void expect_pairs(const std::string& instruction, F host) {
  const Pairs in = moderate_pairs();
  const auto out = apply_pairs(instruction, in.a, in.b, in.c);
  for (size_t i = 0; i < 32; i++) {
    for (int shift = 0; shift < 32; shift += 16) {
      const auto part = [&](uint32_t word) {
        return double{f16_to_f32(static_cast<uint16_t>(word >> shift))};
      };
      ASSERT_EQ(static_cast<uint16_t>(out[i] >> shift),
                to_f16(host(part(in.a[i]), part(in.b[i]), part(in.c[i]))))
          << instruction;
    }
  }
}

TEST(EmulatorHalf, PairsAreRoundedOnce) {
  expect_pairs("add.rn.f16x2 %r10, %r11, %r12;", [](double a, double b, double) { return a + b; });
  expect_pairs("sub.f16x2 %r10, %r11, %r12;", [](double a, double b, double) { return a - b; });
  expect_pairs("mul.rn.f16x2 %r10, %r11, %r12;", [](double a, double b, double) { return a * b; });
  expect_pairs("fma.rn.f16x2 %r10, %r11, %r12, %r13;",
               [](double a, double b, double c) { return a * b + c; });
  expect_pairs("fma.rn.relu.f16x2 %r10, %r11, %r12, %r13;",
               [](double a, double b, double c) { return std::max(a * b + c, 0.0); });
  expect_pairs("max.f16x2 %r10, %r11, %r12;",
               [](double a, double b, double) { return std::max(a, b); });
  expect_pairs("neg.f16x2 %r10, %r11;", [](double a, double, double) { return -a; });
}

TEST(EmulatorHalf, PacksTheFirstSourceAbove) {
  const std::vector<uint32_t> one(32, std::bit_cast<uint32_t>(1.0f)),
      two(32, std::bit_cast<uint32_t>(-2.0f));
  EXPECT_EQ(apply_pairs("cvt.rn.f16x2.f32 %r10, %r11, %r12;", one, two, one)[0], 0x3c00c000u);
  EXPECT_EQ(apply_pairs("cvt.rn.bf16x2.f32 %r10, %r11, %r12;", one, two, one)[5], 0x3f80c000u);
  EXPECT_EQ(apply_pairs("cvt.rn.relu.f16x2.f32 %r10, %r11, %r12;", one, two, one)[0], 0x3c000000u);
  EXPECT_EQ(apply_pairs("cvt.rn.satfinite.e4m3x2.f32 %h1, %r11, %r12; mov.b32 %r10, {%h1, 0};", one,
                        two, one)[0],
            0x38c0u);
  EXPECT_EQ(
      apply_pairs("cvt.rn.satfinite.e4m3x2.f32 %h1, %r11, %r12; cvt.rn.f16x2.e4m3x2 %r10, %h1;",
                  one, two, one)[0],
      0x3c00c000u);
  EXPECT_EQ(
      apply_pairs("cvt.pack.sat.s8.s32.b32 %r10, %r11, %r12, %r13;", std::vector<uint32_t>(32, 300),
                  std::vector<uint32_t>(32, static_cast<uint32_t>(-300)),
                  std::vector<uint32_t>(32, 0x1234))[0],
      0x12347f80u);
}

}  // namespace
}  // namespace sqf

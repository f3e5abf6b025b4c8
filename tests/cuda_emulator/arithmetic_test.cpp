#include <bit>
#include <cfenv>
#include <cmath>
#include <random>

#include "tests/cuda_emulator/test_device.hpp"

// Arithmetic of single instructions against the host's, over hard values and random ones.

namespace sqf {
namespace {

using Words = std::vector<uint32_t>;

/// d = instruction(a, b, c) for every element; the text names them %r10 (d), %r11, %r12, %r13.
Words apply(const std::string& instruction, const Words& a, const Words& b, const Words& c) {
  TestDevice device;
  const std::string text =
      "mov.u32 %r2, %ctaid.x; shl.b32 %r2, %r2, 5; add.u32 %r3, %r2, %r0;\n" +
      element(10, 0, "%r3") + element(11, 1, "%r3") + element(12, 2, "%r3") +
      element(13, 3, "%r3") +
      "ld.global.b32 %r11, [%rd11]; ld.global.b32 %r12, [%rd12]; ld.global.b32 %r13, [%rd13];\n" +
      instruction + "\nst.global.b32 [%rd10], %r10;\n";
  const auto blocks = static_cast<unsigned>(a.size() / 32);
  const CUdeviceptr out = device.room(a.size() * 4);
  EXPECT_EQ(
      device.run(kernel_of(4, text), blocks, 32, {out, device.up(a), device.up(b), device.up(c)}),
      CUDA_SUCCESS);
  return device.down<uint32_t>(out, a.size());
}

/// 1024 words: every pairing of hard f32 values, then random bits.
struct Inputs {
  Words a, b, c;
};
Inputs hard_floats() {
  const float hard[] = {
      0.0f,       -0.0f,          1.0f,     -1.0f,     0x1p-149f, -0x1p-126f, 0x1.fffffep-127f,
      0x1p127f,   -0x1p127f,      INFINITY, -INFINITY, NAN,       0.1f,       -3.3f,
      16777217.f, 0x1.fffffep127f};
  Inputs in;
  std::mt19937 random(7);
  for (size_t i = 0; i < 1024; i++) {
    const bool chosen = i < 256;
    in.a.push_back(chosen ? std::bit_cast<uint32_t>(hard[i / 16])
                          : static_cast<uint32_t>(random()));
    in.b.push_back(chosen ? std::bit_cast<uint32_t>(hard[i % 16])
                          : static_cast<uint32_t>(random()));
    const float near = -std::bit_cast<float>(in.a[i]) * std::bit_cast<float>(in.b[i]);
    in.c.push_back(i % 2 == 0 ? std::bit_cast<uint32_t>(near) : static_cast<uint32_t>(random()));
  }
  return in;
}

Inputs random_words() {
  Inputs in;
  std::mt19937 random(11);
  for (size_t i = 0; i < 1024; i++) {
    in.a.push_back(static_cast<uint32_t>(random()) >> (i % 29));
    in.b.push_back(static_cast<uint32_t>(random()) >> (i % 31));
    in.c.push_back(static_cast<uint32_t>(random()) >> (i % 7));
  }
  return in;
}

template <class F>
void expect_f32(const std::string& instruction, int mode, F host) {
  const Inputs in = hard_floats();
  const Words out = apply(instruction, in.a, in.b, in.c);
  for (size_t i = 0; i < out.size(); i++) {
    const volatile float a = std::bit_cast<float>(in.a[i]), b = std::bit_cast<float>(in.b[i]),
                         c = std::bit_cast<float>(in.c[i]);
    std::fesetround(mode);
    const volatile float want = host(a, b, c);
    std::fesetround(FE_TONEAREST);
    const uint32_t bits = std::isnan(want) ? 0x7fffffff : std::bit_cast<uint32_t>(float{want});
    ASSERT_EQ(out[i], bits) << instruction << " " << a << " " << b << " " << c;
  }
}

TEST(EmulatorArithmetic, F32InAllRoundings) {
  const struct {
    const char* name;
    int mode;
  } roundings[] = {
      {"rn", FE_TONEAREST}, {"rz", FE_TOWARDZERO}, {"rm", FE_DOWNWARD}, {"rp", FE_UPWARD}};
  for (const auto& [name, mode] : roundings) {
    const std::string r = name;
    expect_f32("add." + r + ".f32 %r10, %r11, %r12;", mode,
               [](float a, float b, float) { return a + b; });
    expect_f32("sub." + r + ".f32 %r10, %r11, %r12;", mode,
               [](float a, float b, float) { return a - b; });
    expect_f32("mul." + r + ".f32 %r10, %r11, %r12;", mode,
               [](float a, float b, float) { return a * b; });
    expect_f32("div." + r + ".f32 %r10, %r11, %r12;", mode,
               [](float a, float b, float) { return a / b; });
    expect_f32("sqrt." + r + ".f32 %r10, %r11;", mode,
               [](float a, float, float) { return std::sqrt(a); });
    expect_f32("fma." + r + ".f32 %r10, %r11, %r12, %r13;", mode,
               [](float a, float b, float c) { return std::fma(a, b, c); });
  }
}

TEST(EmulatorArithmetic, F32FlushesAndSaturatesOnlyWhereTold) {
  const auto flush = [](float v) { return std::fabs(v) < 0x1p-126f ? std::copysign(0.0f, v) : v; };
  expect_f32("mul.ftz.f32 %r10, %r11, %r12;", FE_TONEAREST,
             [&](float a, float b, float) { return flush(flush(a) * flush(b)); });
  const Inputs in = hard_floats();
  const Words out = apply("add.sat.f32 %r10, %r11, %r12;", in.a, in.b, in.c);
  for (size_t i = 0; i < out.size(); i++) {
    const float sum = std::bit_cast<float>(in.a[i]) + std::bit_cast<float>(in.b[i]);
    const float want = sum > 1 ? 1 : sum > 0 ? sum : 0;  // no number: 0
    ASSERT_EQ(std::bit_cast<float>(out[i]), want);
  }
}

TEST(EmulatorArithmetic, LeastAndMostPreferNumbers) {
  const Inputs in = hard_floats();
  const Words least = apply("min.f32 %r10, %r11, %r12;", in.a, in.b, in.c);
  const Words strict = apply("max.NaN.f32 %r10, %r11, %r12;", in.a, in.b, in.c);
  for (size_t i = 0; i < least.size(); i++) {
    const float a = std::bit_cast<float>(in.a[i]), b = std::bit_cast<float>(in.b[i]);
    const bool none = std::isnan(a) && std::isnan(b), any = std::isnan(a) || std::isnan(b);
    if (none) {
      ASSERT_EQ(least[i], 0x7fffffffu);
    } else {
      ASSERT_EQ(std::bit_cast<float>(least[i]), std::isnan(a) || b < a ? b : a);
      if (a == 0 && b == 0) {
        ASSERT_EQ(least[i], in.a[i] | in.b[i]);  // -0 is less than 0
      }
    }
    if (any) {
      ASSERT_EQ(strict[i], 0x7fffffffu);
    }
  }
}

void expect_words(const std::string& instruction, uint32_t (*host)(uint32_t, uint32_t, uint32_t)) {
  const Inputs in = random_words();
  const Words out = apply(instruction, in.a, in.b, in.c);
  for (size_t i = 0; i < out.size(); i++) {
    ASSERT_EQ(out[i], host(in.a[i], in.b[i], in.c[i]))
        << instruction << " " << in.a[i] << " " << in.b[i] << " " << in.c[i];
  }
}

int32_t s(uint32_t word) {
  return static_cast<int32_t>(word);
}

TEST(EmulatorArithmetic, Integers) {
  using W = uint32_t;
  expect_words("mad.lo.s32 %r10, %r11, %r12, %r13;", [](W a, W b, W c) { return a * b + c; });
  expect_words("mul.hi.s32 %r10, %r11, %r12;",
               [](W a, W b, W) { return static_cast<W>((int64_t{s(a)} * s(b)) >> 32); });
  expect_words("mul.hi.u32 %r10, %r11, %r12;",
               [](W a, W b, W) { return static_cast<W>((uint64_t{a} * b) >> 32); });
  expect_words("mul.wide.s32 %rd20, %r11, %r12; cvt.u32.u64 %r10, %rd20;",
               [](W a, W b, W) { return a * b; });
  expect_words("div.s32 %r10, %r11, %r12;",
               [](W a, W b, W) { return b == 0 ? ~W{0} : static_cast<W>(int64_t{s(a)} / s(b)); });
  expect_words("rem.u32 %r10, %r11, %r12;", [](W a, W b, W) { return b == 0 ? a : a % b; });
  expect_words("shf.l.wrap.b32 %r10, %r11, %r12, %r13;", [](W a, W b, W c) {
    return static_cast<W>((((uint64_t{b} << 32) | a) << (c & 31)) >> 32);
  });
  expect_words("shr.s32 %r10, %r11, %r13;",
               [](W a, W, W c) { return static_cast<W>(s(a) >> std::min(c, 31u)); });
  expect_words("lop3.b32 %r10, %r11, %r12, %r13, 0x96;", [](W a, W b, W c) { return a ^ b ^ c; });
  expect_words("lop3.b32 %r10, %r11, %r12, %r13, 0xca;",
               [](W a, W b, W c) { return (a & b) | (~a & c); });
  expect_words("bfe.u32 %r10, %r11, 5, 9;", [](W a, W, W) { return (a >> 5) & 511; });
  expect_words("bfe.s32 %r10, %r11, 3, 7;",
               [](W a, W, W) { return static_cast<W>(s(a << 22) >> 25); });
  expect_words("bfi.b32 %r10, %r11, %r12, 8, 4;",
               [](W a, W b, W) { return (b & ~0xf00u) | (a & 15) << 8; });
  expect_words("prmt.b32 %r10, %r11, %r12, 0x5410;",
               [](W a, W b, W) { return (a & 0xffff) | b << 16; });
  expect_words("prmt.b32 %r10, %r11, %r12, 0x9821;", [](W a, W, W) {
    const auto sign = [&](int byte) { return (a >> (8 * byte + 7) & 1) != 0 ? 0xffu : 0u; };
    return (a >> 8 & 0xffff) | sign(0) << 16 | sign(1) << 24;
  });
  expect_words("dp4a.u32.s32 %r10, %r11, %r12, %r13;", [](W a, W b, W c) {
    for (int i = 0; i < 4; i++) {
      c += static_cast<W>(static_cast<int>(a >> (8 * i) & 255) * static_cast<int8_t>(b >> (8 * i)));
    }
    return c;
  });
  expect_words("add.sat.s32 %r10, %r11, %r12;", [](W a, W b, W) {
    return static_cast<W>(
        std::min<int64_t>(std::max<int64_t>(int64_t{s(a)} + s(b), INT32_MIN), INT32_MAX));
  });
  expect_words("clz.b32 %r10, %r11;",
               [](W a, W, W) { return static_cast<W>(std::countl_zero(a)); });
  expect_words("add.cc.u32 %r20, %r11, %r12; addc.u32 %r10, %r13, 0;",
               [](W a, W b, W c) { return c + static_cast<W>((uint64_t{a} + b) >> 32); });
}

TEST(EmulatorArithmetic, Conversions) {
  const Inputs in = hard_floats();
  const auto value = [&](size_t i) { return std::bit_cast<float>(in.a[i]); };
  const Words nearest = apply("cvt.rni.s32.f32 %r10, %r11;", in.a, in.b, in.c);
  const Words unsigned_zero = apply("cvt.rzi.u32.f32 %r10, %r11;", in.a, in.b, in.c);
  const Words byte = apply("cvt.rni.sat.s8.f32 %r10, %r11;", in.a, in.b, in.c);
  const Words real = apply("cvt.rz.f32.u32 %r10, %r11;", in.a, in.b, in.c);
  for (size_t i = 0; i < in.a.size(); i++) {
    const double v = std::isnan(value(i)) ? 0 : std::nearbyint(double{value(i)});
    ASSERT_EQ(s(nearest[i]), static_cast<int32_t>(std::min(std::max(v, -0x1p31), 0x1p31 - 1)));
    ASSERT_EQ(s(byte[i]), static_cast<int32_t>(std::min(std::max(v, -128.0), 127.0)));
    const double t = std::isnan(value(i)) ? 0 : std::trunc(double{value(i)});
    ASSERT_EQ(unsigned_zero[i], static_cast<uint32_t>(std::min(std::max(t, 0.0), 0x1p32 - 1)));
    std::fesetround(FE_TOWARDZERO);
    const volatile float want = static_cast<float>(in.a[i]);
    std::fesetround(FE_TONEAREST);
    ASSERT_EQ(std::bit_cast<float>(real[i]), want);
  }
}

}  // namespace
}  // namespace sqf

#include "tests/cuda_emulator/matrix.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "format/scalar.hpp"

namespace sqf {
namespace {

// Elements: their width in a register, and the value of one that stands in the low bits of `raw`.
struct F16 {
  static constexpr int bits = 16;
  static float value(uint32_t raw) { return f16_to_f32(static_cast<uint16_t>(raw)); }
};

struct Bf16 {
  static constexpr int bits = 16;
  static float value(uint32_t raw) { return bf16_to_f32(static_cast<uint16_t>(raw)); }
};

/// The 13 low bits of the register do not count.
struct Tf32 {
  static constexpr int bits = 32;
  static float value(uint32_t raw) { return std::bit_cast<float>(raw & ~0x1fffu); }
};

struct E4m3 {
  static constexpr int bits = 8;
  static float value(uint32_t raw) { return e4m3_to_f32(static_cast<uint8_t>(raw)); }
};

/// The upper half of an f16.
struct E5m2 {
  static constexpr int bits = 8;
  static float value(uint32_t raw) { return f16_to_f32(static_cast<uint16_t>((raw & 0xffu) << 8)); }
};

template <int width>
struct Signed {
  static constexpr int bits = width;
  static int32_t value(uint32_t raw) {
    return static_cast<int32_t>(raw << (32 - width)) >> (32 - width);
  }
};

template <int width>
struct Unsigned {
  static constexpr int bits = width;
  static int32_t value(uint32_t raw) { return static_cast<int32_t>(raw & ((1u << width) - 1)); }
};

/// 32 one-bit elements, taken together.
struct Bits32 {
  static constexpr int bits = 32;
  static uint32_t value(uint32_t raw) { return raw; }
};

template <typename Element>
using Value = decltype(Element::value(0));

/// Elements of 32 / bits = n side by side in a register are n consecutive k, low bits first; the
/// four threads of a group follow each other in k, then the registers do: 4 n further each, in A
/// every second one, the odd ones of which hold the rows 8 below. This is the manual's layout for
/// every shape of 16 rows.
template <typename Element, int k_size>
using MatrixA = std::array<std::array<Value<Element>, k_size>, 16>;  // [row][k]
template <typename Element, int k_size>
using MatrixB = std::array<std::array<Value<Element>, k_size>, 8>;  // [column][k]

template <typename Element>
constexpr int registers_for(int rows, int k_size) {
  return rows * k_size * Element::bits / (32 * 32);
}

template <typename Element, int k_size>
MatrixA<Element, k_size> unpack_a(const uint32_t (*registers)[32]) {
  constexpr int count = registers_for<Element>(16, k_size), n = 32 / Element::bits;
  MatrixA<Element, k_size> matrix;
  for (int r = 0; r < count; r++)
    for (int lane = 0; lane < 32; lane++)
      for (int i = 0; i < n; i++) {
        const auto row = static_cast<size_t>(lane / 4 + r % 2 * 8);
        const auto k = static_cast<size_t>(r / 2 * 4 * n + lane % 4 * n + i);
        matrix[row][k] = Element::value(registers[r][lane] >> (i * Element::bits));
      }
  return matrix;
}

template <typename Element, int k_size>
MatrixB<Element, k_size> unpack_b(const uint32_t (*registers)[32]) {
  constexpr int count = registers_for<Element>(8, k_size), n = 32 / Element::bits;
  MatrixB<Element, k_size> matrix;
  for (int r = 0; r < count; r++)
    for (int lane = 0; lane < 32; lane++)
      for (int i = 0; i < n; i++) {
        const auto k = static_cast<size_t>(r * 4 * n + lane % 4 * n + i);
        matrix[static_cast<size_t>(lane / 4)][k] =
            Element::value(registers[r][lane] >> (i * Element::bits));
      }
  return matrix;
}

// Sums: the registers an accumulator takes, how it starts, goes on and ends. Value i of a thread, 0
// <= i < 4, is that of row lane / 4 + 8 (i / 2) and column 2 (lane % 4) + i % 2.
struct Single {
  static constexpr int registers = 4;
  static float load(const uint32_t (*c)[32], int lane, int i) {
    return std::bit_cast<float>(c[i][lane]);
  }
  static float add(float sum, float x, float y) { return sum + x * y; }
  static void store(float sum, uint32_t (*d)[32], int lane, int i) {
    d[i][lane] = std::isnan(sum) ? 0x7fffffffu : std::bit_cast<uint32_t>(sum);
  }
};

/// Pairs of f16, the even column low.
struct Half : Single {
  static constexpr int registers = 2;
  static float load(const uint32_t (*c)[32], int lane, int i) {
    return f16_to_f32(static_cast<uint16_t>(c[i / 2][lane] >> (i % 2 * 16)));
  }
  static void store(float sum, uint32_t (*d)[32], int lane, int i) {
    const uint32_t half = std::isnan(sum) ? 0x7fffu : f32_to_f16(sum);
    const uint32_t other = i % 2 == 0 ? 0 : d[i / 2][lane] & 0xffffu;
    d[i / 2][lane] = other | half << (i % 2 * 16);
  }
};

struct Wrapping {
  static constexpr int registers = 4;
  static int64_t load(const uint32_t (*c)[32], int lane, int i) {
    return static_cast<int32_t>(c[i][lane]);
  }
  static int64_t add(int64_t sum, int32_t x, int32_t y) { return sum + x * y; }
  static void store(int64_t sum, uint32_t (*d)[32], int lane, int i) {
    d[i][lane] = static_cast<uint32_t>(sum);
  }
};

struct Saturating : Wrapping {
  static void store(int64_t sum, uint32_t (*d)[32], int lane, int i) {
    using Limits = std::numeric_limits<int32_t>;
    d[i][lane] = static_cast<uint32_t>(std::clamp<int64_t>(sum, Limits::min(), Limits::max()));
  }
};

struct XorCount : Wrapping {
  static int64_t add(int64_t sum, uint32_t x, uint32_t y) { return sum + std::popcount(x ^ y); }
};

struct AndCount : Wrapping {
  static int64_t add(int64_t sum, uint32_t x, uint32_t y) { return sum + std::popcount(x & y); }
};

template <typename A, typename B, typename Sum, int k_size>
void multiply(const uint32_t (*a)[32], const uint32_t (*b)[32], const uint32_t (*c)[32],
              uint32_t (*d)[32]) {
  const auto left = unpack_a<A, k_size>(a);
  const auto right = unpack_b<B, k_size>(b);
  uint32_t result[Sum::registers][32];  // apart from d, which may be c
  for (int lane = 0; lane < 32; lane++)
    for (int i = 0; i < 4; i++) {
      const auto& row = left[static_cast<size_t>(lane / 4 + i / 2 * 8)];
      const auto& column = right[static_cast<size_t>(lane % 4 * 2 + i % 2)];
      auto sum = Sum::load(c, lane, i);
      for (size_t k = 0; k < k_size; k++) sum = Sum::add(sum, row[k], column[k]);
      Sum::store(sum, result, lane, i);
    }
  std::memcpy(d, result, sizeof(result));
}

template <typename A, typename B, typename Sum, int k_size>
constexpr MatrixInstruction instruction(std::string_view suffix) {
  return {suffix,         registers_for<A>(16, k_size), registers_for<B>(8, k_size), Sum::registers,
          Sum::registers, multiply<A, B, Sum, k_size>};
}

using S8 = Signed<8>;
using U8 = Unsigned<8>;
using S4 = Signed<4>;
using U4 = Unsigned<4>;

constexpr MatrixInstruction kInstructions[] = {
    instruction<F16, F16, Half, 8>("m16n8k8.row.col.f16.f16.f16.f16"),
    instruction<F16, F16, Half, 16>("m16n8k16.row.col.f16.f16.f16.f16"),
    instruction<F16, F16, Single, 8>("m16n8k8.row.col.f32.f16.f16.f32"),
    instruction<F16, F16, Single, 16>("m16n8k16.row.col.f32.f16.f16.f32"),
    instruction<Bf16, Bf16, Single, 8>("m16n8k8.row.col.f32.bf16.bf16.f32"),
    instruction<Bf16, Bf16, Single, 16>("m16n8k16.row.col.f32.bf16.bf16.f32"),
    instruction<Tf32, Tf32, Single, 4>("m16n8k4.row.col.f32.tf32.tf32.f32"),
    instruction<Tf32, Tf32, Single, 8>("m16n8k8.row.col.f32.tf32.tf32.f32"),
    instruction<E4m3, E4m3, Single, 32>("m16n8k32.row.col.f32.e4m3.e4m3.f32"),
    instruction<E4m3, E5m2, Single, 32>("m16n8k32.row.col.f32.e4m3.e5m2.f32"),
    instruction<E5m2, E4m3, Single, 32>("m16n8k32.row.col.f32.e5m2.e4m3.f32"),
    instruction<E5m2, E5m2, Single, 32>("m16n8k32.row.col.f32.e5m2.e5m2.f32"),

    instruction<S8, S8, Wrapping, 16>("m16n8k16.row.col.s32.s8.s8.s32"),
    instruction<S8, U8, Wrapping, 16>("m16n8k16.row.col.s32.s8.u8.s32"),
    instruction<U8, S8, Wrapping, 16>("m16n8k16.row.col.s32.u8.s8.s32"),
    instruction<U8, U8, Wrapping, 16>("m16n8k16.row.col.s32.u8.u8.s32"),
    instruction<S8, S8, Saturating, 16>("m16n8k16.row.col.satfinite.s32.s8.s8.s32"),
    instruction<S8, U8, Saturating, 16>("m16n8k16.row.col.satfinite.s32.s8.u8.s32"),
    instruction<U8, S8, Saturating, 16>("m16n8k16.row.col.satfinite.s32.u8.s8.s32"),
    instruction<U8, U8, Saturating, 16>("m16n8k16.row.col.satfinite.s32.u8.u8.s32"),
    instruction<S8, S8, Wrapping, 32>("m16n8k32.row.col.s32.s8.s8.s32"),
    instruction<S8, U8, Wrapping, 32>("m16n8k32.row.col.s32.s8.u8.s32"),
    instruction<U8, S8, Wrapping, 32>("m16n8k32.row.col.s32.u8.s8.s32"),
    instruction<U8, U8, Wrapping, 32>("m16n8k32.row.col.s32.u8.u8.s32"),
    instruction<S8, S8, Saturating, 32>("m16n8k32.row.col.satfinite.s32.s8.s8.s32"),
    instruction<S8, U8, Saturating, 32>("m16n8k32.row.col.satfinite.s32.s8.u8.s32"),
    instruction<U8, S8, Saturating, 32>("m16n8k32.row.col.satfinite.s32.u8.s8.s32"),
    instruction<U8, U8, Saturating, 32>("m16n8k32.row.col.satfinite.s32.u8.u8.s32"),

    instruction<S4, S4, Wrapping, 32>("m16n8k32.row.col.s32.s4.s4.s32"),
    instruction<S4, U4, Wrapping, 32>("m16n8k32.row.col.s32.s4.u4.s32"),
    instruction<U4, S4, Wrapping, 32>("m16n8k32.row.col.s32.u4.s4.s32"),
    instruction<U4, U4, Wrapping, 32>("m16n8k32.row.col.s32.u4.u4.s32"),
    instruction<S4, S4, Saturating, 32>("m16n8k32.row.col.satfinite.s32.s4.s4.s32"),
    instruction<S4, U4, Saturating, 32>("m16n8k32.row.col.satfinite.s32.s4.u4.s32"),
    instruction<U4, S4, Saturating, 32>("m16n8k32.row.col.satfinite.s32.u4.s4.s32"),
    instruction<U4, U4, Saturating, 32>("m16n8k32.row.col.satfinite.s32.u4.u4.s32"),
    instruction<S4, S4, Wrapping, 64>("m16n8k64.row.col.s32.s4.s4.s32"),
    instruction<S4, U4, Wrapping, 64>("m16n8k64.row.col.s32.s4.u4.s32"),
    instruction<U4, S4, Wrapping, 64>("m16n8k64.row.col.s32.u4.s4.s32"),
    instruction<U4, U4, Wrapping, 64>("m16n8k64.row.col.s32.u4.u4.s32"),
    instruction<S4, S4, Saturating, 64>("m16n8k64.row.col.satfinite.s32.s4.s4.s32"),
    instruction<S4, U4, Saturating, 64>("m16n8k64.row.col.satfinite.s32.s4.u4.s32"),
    instruction<U4, S4, Saturating, 64>("m16n8k64.row.col.satfinite.s32.u4.s4.s32"),
    instruction<U4, U4, Saturating, 64>("m16n8k64.row.col.satfinite.s32.u4.u4.s32"),

    // k counts bits, here words of 32.
    instruction<Bits32, Bits32, XorCount, 4>("m16n8k128.row.col.s32.b1.b1.s32.xor.popc"),
    instruction<Bits32, Bits32, AndCount, 4>("m16n8k128.row.col.s32.b1.b1.s32.and.popc"),
    instruction<Bits32, Bits32, XorCount, 8>("m16n8k256.row.col.s32.b1.b1.s32.xor.popc"),
    instruction<Bits32, Bits32, AndCount, 8>("m16n8k256.row.col.s32.b1.b1.s32.and.popc"),
};

/// Where the elements 2 t and 2 t + 1 of row r of an 8x8 matrix go: register of lane 4 r + t, low
/// half first. Of the transposed one, r and t count columns and rows.
struct Place {
  int row, column;
};

Place element_of(int lane, int half, bool transposed) {
  const int outer = lane / 4, inner = lane % 4 * 2 + half;
  return transposed ? Place{inner, outer} : Place{outer, inner};
}

}  // namespace

std::span<const MatrixInstruction> mma_instructions() {
  return kInstructions;
}

const MatrixInstruction* find_mma(std::string_view suffix) {
  const auto found = std::ranges::find(kInstructions, suffix, &MatrixInstruction::suffix);
  return found == std::end(kInstructions) ? nullptr : found;
}

void ldmatrix(const uint8_t* const rows[32], int matrices, bool transposed, uint32_t (*d)[32]) {
  for (int m = 0; m < matrices; m++)
    for (int lane = 0; lane < 32; lane++) {
      uint16_t halves[2];
      for (int half = 0; half < 2; half++) {
        const Place from = element_of(lane, half, transposed);
        std::memcpy(&halves[half], rows[m * 8 + from.row] + from.column * 2, 2);
      }
      d[m][lane] = halves[0] | static_cast<uint32_t>(halves[1]) << 16;
    }
}

void stmatrix(uint8_t* const rows[32], int matrices, bool transposed, const uint32_t (*s)[32]) {
  for (int m = 0; m < matrices; m++)
    for (int lane = 0; lane < 32; lane++)
      for (int half = 0; half < 2; half++) {
        const auto value = static_cast<uint16_t>(s[m][lane] >> (half * 16));
        const Place to = element_of(lane, half, transposed);
        std::memcpy(rows[m * 8 + to.row] + to.column * 2, &value, 2);
      }
}

}  // namespace sqf

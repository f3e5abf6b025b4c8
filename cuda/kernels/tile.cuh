#pragma once
// Tile16 words in tensor-core registers. A thread of a warp is g = lane / 4 and t = lane % 4; in a
// run of 32 columns it has the columns 8 t .. 8 t + 7 of the rows g and g + 8. Which k a thread's
// registers stand for is the same for weights and activations, and a dot product does not ask more.

#include <cuda_fp16.h>

#include "cuda/kernels/arguments.hpp"

namespace sqf {

struct Lane {
  int lane, g, t;
  __device__ Lane() : lane(threadIdx.x % 32), g(lane / 4), t(lane % 4) {}
};

__device__ inline uint32_t shared_address(const void* p) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

/// 16 bytes into shared memory when they arrive; zeros where `real` is false.
__device__ inline void copy_16(void* to, const void* from, bool real) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from),
               "r"(real ? 16 : 0)
               : "memory");
}
__device__ inline void store_16(void* to, uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
  asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};" ::"r"(shared_address(to)), "r"(a), "r"(b),
               "r"(c), "r"(d)
               : "memory");
}
__device__ inline void commit_copies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
template <int Pending>
__device__ inline void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
}

__device__ inline uint32_t pair_difference(uint32_t a, uint32_t b) {
  const __half2 d = __hsub2(*reinterpret_cast<__half2*>(&a), *reinterpret_cast<__half2*>(&b));
  return *reinterpret_cast<const uint32_t*>(&d);
}
__device__ inline uint32_t pair_product(uint32_t a, uint32_t b) {
  const __half2 d = __hmul2(*reinterpret_cast<__half2*>(&a), *reinterpret_cast<__half2*>(&b));
  return *reinterpret_cast<const uint32_t*>(&d);
}

/// One code a byte: columns 8 t .. 8 t + 3 and 8 t + 4 .. 8 t + 7 of a row.
struct Codes {
  uint32_t low, high;
};

/// Where a 16-byte piece of a step's plane goes in shared memory, of 16 * 8 * bits bytes in file
/// order. Lines of 64 bytes keep their places, but for what makes every read of a warp hit each
/// bank once: a thread reads one line of 4 bits, two of 8 and four of 16; of those that start on
/// the same bank, lines of odd t trade places with their neighbours, and lines of t >= 2 their
/// halves.
__device__ inline int piece_place(int bits, int piece) {
  int line = piece / 4;
  int half = 0;
  if (bits == 16) half = line & 8, line ^= line >> 2 & 1;
  if (bits == 8) half = line & 4, line ^= line >> 1 & 1;
  if (bits == 4) half = line & 2;
  if (bits == 2) half = line & 1;
  return line * 4 + (piece % 4 ^ (half != 0 ? 2 : 0));
}

/// The row that a thread reads for `row`, in planes of 2 bits and more.
__device__ inline int row_place(int row, int t) {
  return row ^ (t >= 2 ? 8 : 0);
}

/// Width 4 and 8: one plane of these bits; 0: any planes of 1, 2, 4 bits, as `part` lists them.
/// `words` is the step's plane data, plane after plane, `run` 0 or 1.
template <int Width>
__device__ inline Codes codes_of(const DevicePart& part, const uint32_t* words, int run, int row,
                                 int t) {
  Codes c = {0, 0};
  const int place = row_place(row, t);
  if constexpr (Width == 4) {
    const uint32_t w = words[(run * 4 + t) * 16 + place];
    return {w & 0x0f0f0f0fu, w >> 4 & 0x0f0f0f0fu};
  }
  if constexpr (Width == 8) {
    const uint32_t* lines = words + (run * 8 + 2 * t) * 16 + place;
    const uint32_t flip = static_cast<uint32_t>(part.flip);
    const int first = (t & 1) * 16;
    return {lines[first] ^ flip, lines[16 - first] ^ flip};
  }
  int to = 0;
  for (int p = 0; p < part.plane_count; p++) {
    const int bits = 31 - __clz(part.radices[p]);
    if (bits == 8) {
      const uint32_t* lines = words + (run * 8 + 2 * t) * 16 + place;
      const int first = (t & 1) * 16;
      return {lines[first], lines[16 - first]};
    }
    // Of 32 / bits columns in a word, the thread's eight begin at this digit of its bytes.
    const int digit = (8 * t & (32 / bits - 1)) / 4;
    const uint32_t mask = ((1u << bits) - 1) * 0x01010101u;
    const int at = bits == 1 ? row : place;
    const uint32_t w = words[(run * bits + t * bits / 4) * 16 + at] >> (digit * bits);
    c.low |= (w & mask) << to;
    c.high |= (w >> bits & mask) << to;
    words += 2 * bits * 16;
    to += bits;
  }
  return c;
}

/// Four f16 of four codes: columns (0, 2) and (1, 3). `zero` is the pair 1024 + zero.
struct Quad {
  uint32_t even, odd;
};

__device__ inline Quad affine_quad(uint32_t codes, uint32_t zero) {
  return {pair_difference((codes & 0x00ff00ffu) | 0x64006400u, zero),
          pair_difference((codes >> 8 & 0x00ff00ffu) | 0x64006400u, zero)};
}

/// Sixteen f16 stand in eight banks, each in one of its own: look-ups never meet.
__device__ inline Quad table_quad(uint32_t codes, const uint16_t* levels) {
  const uint32_t a = levels[codes & 15], b = levels[codes >> 8 & 15];
  const uint32_t c = levels[codes >> 16 & 15], d = levels[codes >> 24 & 15];
  return {a | c << 16, b | d << 16};
}

/// Sign and magnitude move to where an f16 has them; the product mends the exponent's bias, and is
/// exact for subnormals too.
__device__ inline Quad minifloat_quad(uint32_t codes, const DevicePart& part) {
  const auto widen = [&](uint32_t c) {
    const uint32_t bits = (c & part.sign_mask) << part.sign_shift | (c & part.magnitude_mask)
                                                                        << part.magnitude_shift;
    return pair_product(bits, part.magnitude_factor);
  };
  return {widen(codes & 0x00ff00ffu), widen(codes >> 8 & 0x00ff00ffu)};
}

__device__ inline Quad quad_of(const DevicePart& part, uint32_t codes, uint32_t zero,
                               const uint16_t* levels) {
  if (part.values == Values::table) return table_quad(codes, levels);
  if (part.values == Values::minifloat) return minifloat_quad(codes, part);
  return affine_quad(codes, zero);
}

/// f16 or bf16 words of the columns 8 t .. 8 t + 7: two quads.
__device__ inline void real_quads(const DevicePart& part, const uint32_t* words, int run, int row,
                                  int t, Quad (&out)[2]) {
  const uint32_t* lines = words + (run * 16 + 4 * t) * 16 + row_place(row, t);
  uint32_t w[4];
#pragma unroll
  for (int i = 0; i < 4; i++) {
    w[i] = lines[(i ^ (t & 1)) * 16];
    if (part.values == Values::bf16) {
      const __half2 h =
          __floats2half2_rn(__uint_as_float(w[i] << 16), __uint_as_float(w[i] & 0xffff0000u));
      w[i] = *reinterpret_cast<const uint32_t*>(&h);
    }
  }
#pragma unroll
  for (int i = 0; i < 2; i++)
    out[i] = {__byte_perm(w[2 * i], w[2 * i + 1], 0x5410),
              __byte_perm(w[2 * i], w[2 * i + 1], 0x7632)};
}

__device__ inline void multiply_f16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0,
                                    uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
      "{%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// Codes are unsigned, activations signed.
__device__ inline void multiply_s8(int (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 "
      "{%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
      : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// ---- scales and zeros
// ----------------------------------------------------------------------------

__device__ inline float scale_at(const DevicePart& part, int64_t index) {
  switch (part.scale_type) {
    case Scales::f32:
      return reinterpret_cast<const float*>(part.scales)[index];
    case Scales::f16:
      return __half2float(reinterpret_cast<const __half*>(part.scales)[index]);
    case Scales::bf16:
      return __uint_as_float(
          static_cast<uint32_t>(reinterpret_cast<const uint16_t*>(part.scales)[index]) << 16);
    case Scales::u8:
      return static_cast<float>(part.scales[index]);
    case Scales::table:
      return part.scale_values[part.scales[index]];
    default:
      return 1.0f;
  }
}

/// Of row `lane` of a tile; the group's own number counts from the part's first tile.
__device__ inline int zero_at(const DevicePart& part, int64_t group, int lane) {
  if (part.zero_kind == Zeros::u8) return part.zeros[group * 16 + lane];
  if (part.zero_kind == Zeros::u4) return part.zeros[group * 8 + lane % 8] >> (lane / 8 * 4) & 15;
  return part.zero_constant;
}

__device__ inline float minimum_at(const DevicePart& part, int64_t group, int lane) {
  if (part.zero_kind != Zeros::minimum) return 0.0f;
  return __half2float(reinterpret_cast<const __half*>(part.zeros)[group * 16 + lane]);
}

/// The f16 pair 1024 + zero: its last place is 1.
__device__ inline uint32_t pair_of_zero(int zero) {
  return (0x6400u + static_cast<uint32_t>(zero)) * 0x00010001u;
}

}  // namespace sqf

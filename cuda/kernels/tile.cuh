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
/// `size` 16, or 0 for zeros.
template <int To, int From>
__device__ inline void copy_piece(uint32_t to, const void* from, uint32_t size) {
  asm volatile("cp.async.cg.shared.global [%0+%3], [%1+%4], 16, %2;" ::"r"(to), "l"(from),
               "r"(size), "n"(To), "n"(From)
               : "memory");
}
__device__ inline void copy_piece_if(uint32_t to, const void* from, int wanted) {
  asm volatile(
      "{\n .reg .pred p;\n setp.ne.b32 p, %2, 0;\n"
      " @p cp.async.cg.shared.global [%0], [%1], 16;\n}" ::"r"(to),
      "l"(from), "r"(wanted)
      : "memory");
}
__device__ inline void commit_copies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
template <int Pending>
__device__ inline void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
}

/// a & b | c.
__device__ inline uint32_t and_or(uint32_t a, uint32_t b, uint32_t c) {
  uint32_t d;
  asm("lop3.b32 %0, %1, %2, %3, 0xea;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
  return d;
}

/// A pair of bf16 as f16.
__device__ inline uint32_t half_pair(uint32_t bf16_pair) {
  const __half2 h =
      __floats2half2_rn(__uint_as_float(bf16_pair << 16), __uint_as_float(bf16_pair & 0xffff0000u));
  return *reinterpret_cast<const uint32_t*>(&h);
}

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

__device__ inline void multiply_f16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0,
                                    uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
      "{%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// First: into c, whatever it holds.
template <bool First>
__device__ inline void start_f16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  if constexpr (!First) return multiply_f16(c, a, b0, b1);
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
      "{%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%10,%10,%10,%10};"
      : "=f"(c[0]), "=f"(c[1]), "=f"(c[2]), "=f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1), "f"(0.0f));
}

/// The nearest number that a tensor core takes for an f32: 11 bits of it.
__device__ inline uint32_t tf32_of(float v) {
  uint32_t bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(v));
  return bits;
}
/// Of k a thread has t and t + 4.
__device__ inline void multiply_tf32(float (&c)[4], const uint32_t (&a)[4], uint32_t b0,
                                     uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
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

template <bool First>
__device__ inline void start_s8(int (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  if constexpr (!First) return multiply_s8(c, a, b0, b1);
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 "
      "{%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%10,%10,%10,%10};"
      : "=r"(c[0]), "=r"(c[1]), "=r"(c[2]), "=r"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1), "r"(0));
}

// ---- scales and zeros

__device__ inline float half_at(const uint32_t* words, int i) {
  const auto half = static_cast<uint16_t>(words[i / 2] >> (i % 2 * 16));
  return __half2float(__ushort_as_half(half));
}

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

}  // namespace sqf

#pragma once
// Codes of 4 bits and bit-planes as tensor cores take them: a word of the file is a register of the
// first operand as it stands, and activations are packed in such words too (forms.cu). Which k a
// place in a word stands for is the same on both sides. A *unit* is eight words of a row and plane:
// 64 columns of 4 bits, 256 of one; its halves are four words of a token and plane, 16 bytes.

#include "cuda/kernels/tile.cuh"

namespace sqf {

/// Where a 16-byte piece of a unit goes in shared memory. Words 2, 3, 6 and 7 have their upper and
/// lower rows traded: a thread t reads words t and t + 4, and a warp's reads hit each bank once.
__device__ inline int unit_place(int piece) {
  return (piece ^ (piece / 4 & 2)) * 16;
}

/// Of a thread's word t (`four` 0) or t + 4 (1), the rows g and g + 8.
__device__ inline void unit_words(const uint8_t* unit, Lane lane, int four, uint32_t* to) {
  const auto* line = reinterpret_cast<const uint32_t*>(unit) + (four * 4 + lane.t) * 16;
  const int row = lane.g ^ (lane.t >= 2 ? 8 : 0);
  to[0] = line[row], to[1] = line[row ^ 8];
}

// Where an instruction is none but a function of dozens, kernels of it are never chosen
// (integer_forms.hpp) and machine code does without it.

/// Codes are unsigned, activations signed.
__device__ inline void multiply_4(int (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
#if __CUDA_ARCH__ < 900
  asm volatile(
      "mma.sync.aligned.m16n8k64.row.col.s32.u4.s4.s32 "
      "{%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
      : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
  __trap();
#endif
}

/// Adds how many bits are in both: of a whole unit, or of half of one.
__device__ inline void count_256(int (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
#if __CUDA_ARCH__ < 1000
  asm volatile(
      "mma.sync.aligned.m16n8k256.row.col.s32.b1.b1.s32.and.popc "
      "{%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
      : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
  __trap();
#endif
}
__device__ inline void count_128(int (&c)[4], const uint32_t (&a)[4], uint32_t b) {
#if __CUDA_ARCH__ < 1000
  asm volatile(
      "mma.sync.aligned.m16n8k128.row.col.s32.b1.b1.s32.and.popc "
      "{%0,%1,%2,%3},{%4,%5},{%6},{%0,%1,%2,%3};"
      : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(b));
#else
  __trap();
#endif
}

/// Of plane p of an activation that has so many: two's complement.
__device__ inline int plane_factor(int p, int planes) {
  return p == planes - 1 ? -(1 << p) : 1 << p;
}

}  // namespace sqf

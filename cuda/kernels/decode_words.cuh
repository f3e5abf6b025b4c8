#pragma once
// From the words of a step in shared memory to the A operands of two tiles. Lane (g, t) has the
// rows 4 (g % 4) .. 4 (g % 4) + 3 of tile g / 4: one load of 16 bytes gives the words of all four.
// Rows 2 s and 2 s + 1 of them are rows g and g + 8 of the tensor core's set s. Of a run's columns
// it has 8 t .. 8 t + 7.
//
// Codes become f16 by standing there: code c in the lowest bits is c * 2^-24, and a tensor core
// multiplies such numbers exactly. The scales have the 2^24; zeros are taken from the sums.

#include "cuda/kernels/decode_shape.hpp"
#include "cuda/kernels/tile.cuh"

namespace sqf {

extern __shared__ __align__(128) uint8_t decode_memory[];

/// Addresses are of shared memory, `Offset` a part of the instruction.
template <int Offset = 0>
__device__ inline uint4 shared_16(uint32_t at) {
  uint4 v;
  asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4+%5];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "r"(at), "n"(Offset));
  return v;
}
template <int Offset = 0>
__device__ inline uint2 shared_8(uint32_t at) {
  uint2 v;
  asm volatile("ld.shared.v2.u32 {%0, %1}, [%2+%3];" : "=r"(v.x), "=r"(v.y) : "r"(at), "n"(Offset));
  return v;
}
template <int Offset>
__device__ inline void shared_floats(uint32_t at, float (&v)[4]) {
  asm volatile("ld.shared.v4.f32 {%0, %1, %2, %3}, [%4+%5];"
               : "=f"(v[0]), "=f"(v[1]), "=f"(v[2]), "=f"(v[3])
               : "r"(at), "n"(Offset));
}
template <int Offset>
__device__ inline void store_shared_floats(uint32_t at, const float (&v)[4]) {
  asm volatile("st.shared.v4.f32 [%0+%5], {%1, %2, %3, %4};" ::"r"(at), "f"(v[0]), "f"(v[1]),
               "f"(v[2]), "f"(v[3]), "n"(Offset)
               : "memory");
}

/// Bytes of a and b by the nibbles of Select.
template <uint32_t Select>
__device__ inline uint32_t pick_bytes(uint32_t a, uint32_t b) {
  uint32_t d;
  asm("prmt.b32 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "n"(Select));
  return d;
}

/// Four pairs of f16 of each of four rows: columns (0, 2), (1, 3), (4, 6) and (5, 7). Real values
/// and levels: (0, 1), (2, 3), (4, 5) and (6, 7).
struct Operands {
  uint32_t rows[4][4];
};

constexpr int plane_count_of(int width) {
  return width == 7 ? 3 : width == 3 || width == 5 || width == 6 ? 2 : 1;
}
constexpr int plane_bits_of(int width, int plane) {
  if (plane_count_of(width) == 1) return width;
  const int first = width == 3 ? 2 : 4;
  if (plane == 0) return first;
  return width == 7 ? 3 - plane : width - first;
}
/// Bits of the planes before.
constexpr int plane_shift_of(int width, int plane) {
  int bits = 0;
  for (int p = 0; p < plane; p++) bits += plane_bits_of(width, p);
  return bits;
}

/// Where the lane's word of the first run stands in a plane of a step, in bytes.
__device__ inline int word_place(int bits, int tile_bytes, const Lane& lane) {
  const int chunk = bits * lane.t / 4;
  return lane.g / 4 * tile_bytes + piece_place(bits, chunk * 4 + lane.g % 4) * 16;
}

/// To the right, so that the lane's first digit of byte 0 comes to stand at bit `to`. Of 8 and 16
/// bits nothing turns: how far the next chunk is, in the other half of the 128 bytes.
__device__ inline int word_turn(int bits, int to, int t) {
  if (bits >= 8) return t % 2 == 0 ? 64 : -64;
  return (8 * t & (32 / bits - 1)) / 4 * bits - to;
}

__device__ inline const uint32_t* words_of(const uint4& w) {
  return reinterpret_cast<const uint32_t*>(&w);
}

/// One plane of fixed bits, its codes from bit To on of each f16.
template <int Bits, int To>
__device__ inline void add_plane(uint4 words, int turn, Operands* out) {
  constexpr uint32_t kMask = ((1u << Bits) - 1) * 0x00010001u << To;
#pragma unroll
  for (int r = 0; r < 4; r++) {
    uint32_t w = words_of(words)[r];
    if constexpr (Bits < 4 || To != 0) w = __funnelshift_r(w, w, turn);
    const uint32_t turned[4] = {w, w >> 8, w >> Bits, w >> (8 + Bits)};
#pragma unroll
    for (int i = 0; i < 4; i++)
      out->rows[r][i] = To == 0 ? turned[i] & kMask : and_or(turned[i], kMask, out->rows[r][i]);
  }
}

/// Half of a row's eight codes of 8 bits.
__device__ inline void add_bytes(uint4 words, uint32_t flip, int half, Operands* out) {
#pragma unroll
  for (int r = 0; r < 4; r++) {
    const uint32_t w = words_of(words)[r];
    out->rows[r][2 * half] = (w ^ flip) & 0x00ff00ffu;
    out->rows[r][2 * half + 1] = (w >> 8 ^ flip) & 0x00ff00ffu;
  }
}

/// Codes as bytes: columns 0..3 and 4..7 of four rows.
struct ByteCodes {
  uint32_t low[4], high[4];
};

/// What the lane needs to know of a plane, if planes are any.
struct __align__(16) PlanePlace {
  uint32_t at;    // of the word of the first run in a step
  uint32_t turn;  // as word_turn()
  uint32_t mask;  // of the digits, turned
  uint32_t bits;
};

/// Codes of any planes; `places` are the lane's, 32 apart.
template <int Run>
__device__ inline ByteCodes any_codes(const PlanePlace* places, int planes, uint32_t stage) {
  ByteCodes c;
#pragma unroll
  for (int r = 0; r < 4; r++) c.low[r] = c.high[r] = 0;
#pragma unroll 1
  for (int p = 0; p < planes; p++) {
    const uint4 raw = *reinterpret_cast<const uint4*>(places + p * 32);
    const uint32_t bits = raw.w, at = stage + raw.x + Run * 64 * bits;
    const uint4 w = shared_16(at);
    if (bits == 8) {
      const uint4 v = shared_16(at + raw.y);
#pragma unroll
      for (int r = 0; r < 4; r++) c.low[r] = words_of(w)[r], c.high[r] = words_of(v)[r];
      return c;
    }
#pragma unroll
    for (int r = 0; r < 4; r++) {
      const uint32_t word = words_of(w)[r];
      c.low[r] = and_or(__funnelshift_r(word, word, raw.y), raw.z, c.low[r]);
      c.high[r] = and_or(__funnelshift_r(word, word, raw.y + raw.w), raw.z, c.high[r]);
    }
  }
  return c;
}

/// f16 of sixteen levels as bytes: the lower of all, then the upper, four in a word.
struct LevelBytes {
  uint32_t low[4], high[4];
};

/// Levels of eight codes: nibble 2 j of `codes` is column j, nibble 2 j + 1 column j + 4.
__device__ inline void look_up(uint32_t codes, const LevelBytes& levels, uint32_t (&out)[4]) {
  const uint32_t eight = codes & 0x77777777u;
  const uint32_t upper = and_or(codes >> 1, 0x44444444u, 0x32103210u);
  uint32_t bytes[2][2];
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const uint32_t e = eight >> half * 16, u = upper >> half * 16;
    bytes[half][0] = __byte_perm(__byte_perm(levels.low[0], levels.low[1], e),
                                 __byte_perm(levels.low[2], levels.low[3], e), u);
    bytes[half][1] = __byte_perm(__byte_perm(levels.high[0], levels.high[1], e),
                                 __byte_perm(levels.high[2], levels.high[3], e), u);
  }
#pragma unroll
  for (int half = 0; half < 2; half++) {
    out[half] = pick_bytes<0x6240>(bytes[half][0], bytes[half][1]);
    out[half + 2] = pick_bytes<0x7351>(bytes[half][0], bytes[half][1]);
  }
}

/// The minifloat's fields where an f16 has them: the scales have the factor between their biases.
/// `codes` are two, Down bits from where they are looked for.
template <int Down>
__device__ inline uint32_t place_fields(uint32_t codes, const DevicePart& part) {
  const uint32_t sign = __funnelshift_l(codes, codes, part.sign_shift - Down);
  const uint32_t rest = __funnelshift_l(codes, codes, part.magnitude_shift - Down);
  return and_or(rest, part.magnitude_mask << part.magnitude_shift, sign & 0x80008000u);
}

}  // namespace sqf

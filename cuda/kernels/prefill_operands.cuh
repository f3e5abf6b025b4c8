#pragma once
// Weights as the prefill kernels take them: from the words of a step in shared memory to operands
// of tensor cores. Of a run's columns lane (g, t) has 8 t .. 8 t + 7, of two tiles' rows the four
// from 4 (g % 4) on of tile g / 4: one load of 16 bytes is a word of each.

#include "cuda/kernels/tile.cuh"

namespace sqf {

/// Keeps a number from being worked out again wherever it is used.
__device__ inline void settle(int& number) {
  asm volatile("" : "+r"(number));
}

__device__ inline uint32_t pair_difference(uint32_t a, uint32_t b) {
  const __half2 d = __hsub2(*reinterpret_cast<__half2*>(&a), *reinterpret_cast<__half2*>(&b));
  return *reinterpret_cast<const uint32_t*>(&d);
}
__device__ inline uint32_t pair_product(uint32_t a, uint32_t b) {
  const __half2 d = __hmul2(*reinterpret_cast<__half2*>(&a), *reinterpret_cast<__half2*>(&b));
  return *reinterpret_cast<const uint32_t*>(&d);
}

constexpr uint32_t kPairOf1024 = 0x64006400u;

__device__ inline uint32_t pair_sum_of_product(uint32_t a, uint32_t b, uint32_t c) {
  const __half2 d = __hfma2(*reinterpret_cast<__half2*>(&a), *reinterpret_cast<__half2*>(&b),
                            *reinterpret_cast<__half2*>(&c));
  return *reinterpret_cast<const uint32_t*>(&d);
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

/// A lane's weights of a run, of its four rows. f16: columns (0, 2), (1, 3), (4, 6), (5, 7) of its
/// eight; codes: columns 0..3 and 4..7.
struct Operands {
  uint32_t rows[4][4];
};

/// Width 4 and 8: one plane of affine codes; 16: f16 and bf16; 0: all else.
template <int Width>
struct OperandReader {
  const DevicePart& part;
  Lane lane;
  int tile_place, word_place;  // in a step: of the lane's tile, and of its first word
  const uint16_t* levels;      // in shared memory

  /// `tile` of the block; a tile has `weight_bytes` in a step.
  __device__ OperandReader(const DevicePart& of, int tile, int weight_bytes, const uint16_t* table)
      : part(of),
        tile_place((tile + lane.g / 4) * weight_bytes),
        word_place(tile_place),
        levels(table) {
    if constexpr (Width == 0) return;
    word_place += piece_place(Width, Width / 4 * lane.t * 4 + lane.g % 4) * 16;
    settle(word_place);
  }

  /// The lane's words number `i` of a run, of its four rows.
  __device__ uint4 words(const uint8_t* stage, int run, int i) const {
    return *reinterpret_cast<const uint4*>(stage + (word_place ^ i * 64) + run * 64 * Width);
  }

  __device__ Operands codes(const uint8_t* stage, int run) const {
    Operands out;
    if constexpr (Width == 4) {
      const uint4 four = words(stage, run, 0);
      const uint32_t w[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
      for (int r = 0; r < 4; r++)
        out.rows[r][0] = w[r] & 0x0f0f0f0fu, out.rows[r][1] = w[r] >> 4 & 0x0f0f0f0fu;
    } else if constexpr (Width == 8) {
      const uint4 low = words(stage, run, 0);
      const uint4 high = words(stage, run, 1);
      const uint32_t u[4] = {low.x, low.y, low.z, low.w}, v[4] = {high.x, high.y, high.z, high.w};
      const auto flip = static_cast<uint32_t>(part.flip);
#pragma unroll
      for (int r = 0; r < 4; r++) out.rows[r][0] = u[r] ^ flip, out.rows[r][1] = v[r] ^ flip;
    } else {
      any_codes(stage, run, &out);
    }
    return out;
  }

  __device__ void any_codes(const uint8_t* stage, int run, Operands* out) const {
#pragma unroll
    for (int r = 0; r < 4; r++) out->rows[r][0] = out->rows[r][1] = 0;
    const uint8_t* plane = stage + tile_place;
    int to = 0;
    for (int p = 0; p < part.plane_count; p++) {
      const int bits = 31 - __clz(part.radices[p]);
      const auto line = [&](int i) {
        return *reinterpret_cast<const uint4*>(plane + piece_place(bits, i * 4 + lane.g % 4) * 16);
      };
      const uint4 four = line(run * bits + lane.t * bits / 4);
      const uint32_t w[4] = {four.x, four.y, four.z, four.w};
      if (bits == 8) {
        const uint4 next = line(run * 8 + 2 * lane.t + 1);
        const uint32_t v[4] = {next.x, next.y, next.z, next.w};
#pragma unroll
        for (int r = 0; r < 4; r++) out->rows[r][0] = w[r], out->rows[r][1] = v[r];
        return;
      }
      // Of 32 / bits columns in a word, the lane's eight begin at this digit of its bytes.
      const int turn = (8 * lane.t & (32 / bits - 1)) / 4 * bits;
      const uint32_t mask = ((1u << bits) - 1) * 0x01010101u;
#pragma unroll
      for (int r = 0; r < 4; r++) {
        out->rows[r][0] |= (w[r] >> turn & mask) << to;
        out->rows[r][1] |= (w[r] >> (turn + bits) & mask) << to;
      }
      plane += 128 * bits;
      to += bits;
    }
  }

  /// Weights before their scale, which f16 holds exactly.
  __device__ Operands halves(const uint8_t* stage, int run, uint4 zeros) const {
    Operands out;
    if constexpr (Width == 16) {
      real_rows(stage, run, &out);
      return out;
    }
    const bool minimum = part.zero_kind == Zeros::minimum;
    const uint32_t z[4] = {minimum ? kPairOf1024 : zeros.x, minimum ? kPairOf1024 : zeros.y,
                           minimum ? kPairOf1024 : zeros.z, minimum ? kPairOf1024 : zeros.w};
    if constexpr (Width == 4) {
      const uint4 four = words(stage, run, 0);
      const uint32_t w[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
      for (int r = 0; r < 4; r++) four_bits(w[r], z[r], out.rows[r]);
      return out;
    }
    const Operands bytes = codes(stage, run);
#pragma unroll
    for (int r = 0; r < 4; r++) {
#pragma unroll
      for (int i = 0; i < 2; i++) {
        const Quad q = Width == 0 ? quad_of(part, bytes.rows[r][i], z[r], levels)
                                  : affine_quad(bytes.rows[r][i], z[r]);
        out.rows[r][2 * i] = q.even, out.rows[r][2 * i + 1] = q.odd;
      }
    }
    return out;
  }

  /// Digits in the bits from 4 on are sixteen times as large there: the product mends that.
  __device__ static void four_bits(uint32_t w, uint32_t zero, uint32_t (&out)[4]) {
    constexpr uint32_t kSixteenth = 0x2c002c00u, k960 = 0x63806380u;
    const uint32_t next = w >> 8, minus_64_and_zero = pair_difference(k960, zero);
    out[0] = pair_difference(and_or(w, 0x000f000fu, kPairOf1024), zero);
    out[1] = pair_difference(and_or(next, 0x000f000fu, kPairOf1024), zero);
    out[2] =
        pair_sum_of_product(and_or(w, 0x00f000f0u, kPairOf1024), kSixteenth, minus_64_and_zero);
    out[3] =
        pair_sum_of_product(and_or(next, 0x00f000f0u, kPairOf1024), kSixteenth, minus_64_and_zero);
  }

  /// f16 or bf16 of columns 8 t .. 8 t + 7: four words of each of four rows.
  __device__ void real_rows(const uint8_t* stage, int run, Operands* out) const {
    uint32_t w[4][4];  // [row][word]
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const uint4 four = words(stage, run, i);
      w[0][i] = four.x, w[1][i] = four.y, w[2][i] = four.z, w[3][i] = four.w;
    }
    if (part.values == Values::bf16) {
#pragma unroll
      for (int i = 0; i < 16; i++) w[i / 4][i % 4] = half_pair(w[i / 4][i % 4]);
    }
#pragma unroll
    for (int r = 0; r < 4; r++) {
#pragma unroll
      for (int i = 0; i < 2; i++) {
        out->rows[r][2 * i] = __byte_perm(w[r][2 * i], w[r][2 * i + 1], 0x5410);
        out->rows[r][2 * i + 1] = __byte_perm(w[r][2 * i], w[r][2 * i + 1], 0x7632);
      }
    }
  }
};

}  // namespace sqf

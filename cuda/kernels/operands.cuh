#pragma once
// From the words of a step in shared memory to the A operands of a warp's two tiles. Lane (g, t)
// has the rows 4 (g % 4) .. 4 (g % 4) + 3 of tile g / 4: one load of 16 bytes gives the words of
// all four. Rows 2 s and 2 s + 1 of them are rows g and g + 8 of the tensor core's set s. Of a
// run's columns it has 8 t .. 8 t + 7.
//
// Codes become f16 by standing there: code c in the lowest bits is c * 2^-24, and a tensor core
// multiplies such numbers exactly. The scales have the 2^24.
//
// In a step planes follow each other, each with the first tile's words of all its runs and then the
// second's, in pieces as piece_place() puts them.

#include "cuda/kernels/decode_shape.hpp"
#include "cuda/kernels/tile.cuh"

namespace sqf {

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

/// Four pairs of f16 of each of four rows: columns (0, 2), (1, 3), (4, 6) and (5, 7). Real values:
/// (0, 1), (2, 3), (4, 5) and (6, 7).
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
    const uint32_t w = words_of(words)[r] ^ flip;
    out->rows[r][2 * half] = w & 0x00ff00ffu;
    out->rows[r][2 * half + 1] = pick_bytes<0x4341>(w, 0);
  }
}

__device__ inline uint32_t pair_difference(uint32_t a, uint32_t b) {
  const __half2 d = __hsub2(*reinterpret_cast<__half2*>(&a), *reinterpret_cast<__half2*>(&b));
  return *reinterpret_cast<const uint32_t*>(&d);
}

/// A sixteenth of two codes, less their zero.
__device__ inline uint32_t sixteenth_less(uint32_t codes, uint32_t zero) {
  uint32_t d;
  asm("{\n .reg .b32 less;\n neg.f16x2 less, %3;\n fma.rn.f16x2 %0, %1, %2, less;\n}"
      : "=r"(d)
      : "r"(codes), "r"(0x2c002c00u), "r"(zero));
  return d;
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

/// Where the words of any planes are, for all lanes.
__device__ inline void place_planes(const DevicePart& part, PlanePlace* places) {
  const Lane lane;
  int before = 0;
  for (int p = 0; p < part.plane_count; p++) {
    const int bits = 31 - __clz(part.radices[p]);
    if (threadIdx.x < 32)
      places[p * 32 + lane.lane] = {
          static_cast<uint32_t>(256 * before + word_place(bits, 128 * bits, lane)),
          static_cast<uint32_t>(word_turn(bits, before, lane.t)),
          ((1u << bits) - 1) * 0x01010101u << before, static_cast<uint32_t>(bits)};
    before += bits;
  }
  __syncthreads();
}

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
  codes = pick_bytes<0x3120>(codes, codes);  // columns (0, 2) below, (1, 3) above
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

/// What a lane knows of the words of its rows, and makes of them. Width as in decode_shape.hpp; of
/// any planes `places` are set, of levels `levels`.
template <int Width, Values Grid>
struct OperandReader {
  static constexpr bool kFixed = Width != kAnyPlanes;
  static constexpr int kPlanes = kFixed ? plane_count_of(Width) : 1;

  const DevicePart& part;
  // Of the first plane from the step's beginning on, of the others from there.
  int words[kPlanes] = {}, turns[kPlanes];
  const PlanePlace* places = nullptr;
  LevelBytes levels;

  /// `runs` of a step.
  __device__ void begin(const Lane& lane, int runs) {
    if constexpr (kFixed) {
#pragma unroll
      for (int p = 0; p < kPlanes; p++) {
        const int bits = plane_bits_of(Width, p), before = plane_shift_of(Width, p);
        words[p] = runs * 128 * before + word_place(bits, runs * 64 * bits, lane);
        if (p > 0) words[p] -= words[0];
        turns[p] = word_turn(bits, before, lane.t);
      }
    }
    if constexpr (Grid == Values::table) {
      const auto* four_levels = reinterpret_cast<const uint2*>(part.levels);
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const uint2 four = four_levels[i];
        levels.low[i] = __byte_perm(four.x, four.y, 0x6420);
        levels.high[i] = __byte_perm(four.x, four.y, 0x7531);
      }
    }
  }

  /// What a code's last place is the inverse of, where it stands in an operand.
  __device__ float unit() const {
    if (Grid == Values::affine) return 0x1p24f;
    if (Grid == Values::minifloat)
      return __half2float(__ushort_as_half(static_cast<uint16_t>(part.magnitude_factor)));
    return 1.0f;
  }

  /// Of run `Run` in the step whose words begin at `step`, words[0] added.
  template <int Run>
  __device__ Operands operands(uint32_t step) const {
    Operands o;
    if constexpr (!kFixed) {
      take_any<Run>(step, &o);
    } else if constexpr (Width < 16 && kPlanes == 1 && Grid != Values::affine) {
      take_words<Run>(step, &o);
    } else {
      take_plane<0, Run>(step, &o);
      if constexpr (kPlanes > 1) take_plane<1, Run>(step, &o);
      if constexpr (kPlanes > 2) take_plane<2, Run>(step, &o);
      if constexpr (Grid == Values::minifloat)
#pragma unroll
        for (int i = 0; i < 16; i++)
          o.rows[i / 4][i % 4] = place_fields<0>(o.rows[i / 4][i % 4], part);
    }
    return o;
  }

  /// The codes themselves.
  template <int Run>
  __device__ ByteCodes codes(uint32_t step) const {
    ByteCodes c;
    if constexpr (Width == 4) {
      const uint4 w = shared_16<Run * 256>(step);
#pragma unroll
      for (int r = 0; r < 4; r++)
        c.low[r] = words_of(w)[r] & 0x0f0f0f0fu, c.high[r] = words_of(w)[r] >> 4 & 0x0f0f0f0fu;
    } else if constexpr (Width == 8) {
      const uint4 w = shared_16<Run * 512>(step), v = shared_16<Run * 512>(step + turns[0]);
#pragma unroll
      for (int r = 0; r < 4; r++) c.low[r] = words_of(w)[r], c.high[r] = words_of(v)[r];
    } else {
      c = any_codes<Run>(places, part.plane_count, step);
    }
    return c;
  }

 private:
  template <int P, int Run>
  __device__ void take_plane(uint32_t step, Operands* out) const {
    constexpr int kBits = plane_bits_of(Width, P), kTo = plane_shift_of(Width, P);
    const uint32_t at = P == 0 ? step : step + words[P];
    if constexpr (kBits == 16) {
      const uint4 w[4] = {shared_16<Run * 1024>(at), shared_16<Run * 1024>(at + turns[P]),
                          shared_16<Run * 1024 + 128>(at),
                          shared_16<Run * 1024 + 128>(at + turns[P])};
#pragma unroll
      for (int i = 0; i < 16; i++) {
        const uint32_t pair = words_of(w[i % 4])[i / 4];
        out->rows[i / 4][i % 4] = Grid == Values::bf16 ? half_pair(pair) : pair;
      }
    } else if constexpr (kBits == 8) {
      const auto flip = static_cast<uint32_t>(part.flip);
      add_bytes(shared_16<Run * 512>(at), flip, 0, out);
      add_bytes(shared_16<Run * 512>(at + turns[P]), flip, 1, out);
    } else {
      add_plane<kBits, kTo>(shared_16<Run * 64 * kBits>(at), turns[P], out);
    }
  }

  /// Codes of 4 and 8 bits that are levels or minifloats, straight from their words.
  template <int Run>
  __device__ void take_words(uint32_t at, Operands* out) const {
    const uint4 w = shared_16<Run * 64 * Width>(at);
    uint4 next = {};
    if constexpr (Width == 8) next = shared_16<Run * 512>(at + turns[0]);
#pragma unroll
    for (int r = 0; r < 4; r++) {
      const uint32_t u = words_of(w)[r];
      if constexpr (Grid == Values::table) {
        look_up(u, levels, out->rows[r]);
      } else {
        const uint32_t v = Width == 4 ? u : words_of(next)[r];
        out->rows[r][0] = place_fields<0>(u, part), out->rows[r][1] = place_fields<8>(u, part);
        out->rows[r][2] = place_fields<(Width == 4 ? 4 : 0)>(v, part);
        out->rows[r][3] = place_fields<(Width == 4 ? 12 : 8)>(v, part);
      }
    }
  }

  template <int Run>
  __device__ void take_any(uint32_t step, Operands* out) const {
    const ByteCodes c = any_codes<Run>(places, part.plane_count, step);
#pragma unroll
    for (int r = 0; r < 4; r++) {
      const uint32_t low = c.low[r], high = c.high[r];
      if constexpr (Grid == Values::table) {
        look_up(low | high << 4, levels, out->rows[r]);
      } else if constexpr (Grid == Values::minifloat) {
        out->rows[r][0] = place_fields<0>(low, part);
        out->rows[r][1] = place_fields<8>(low, part);
        out->rows[r][2] = place_fields<0>(high, part);
        out->rows[r][3] = place_fields<8>(high, part);
      } else {
        out->rows[r][0] = low & 0x00ff00ffu, out->rows[r][1] = low >> 8 & 0x00ff00ffu;
        out->rows[r][2] = high & 0x00ff00ffu, out->rows[r][3] = high >> 8 & 0x00ff00ffu;
      }
    }
  }
};

}  // namespace sqf

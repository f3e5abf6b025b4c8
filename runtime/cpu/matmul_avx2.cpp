// Compiled for AVX2: see matmul_kernel.hpp for what must not be called here.
//
// vpmaddubsw adds two u8 * s8 products into an i16 and saturates. Codes up to 127 cannot reach
// that (2 * 127 * 127 < 2^15), narrower ones leave room for several such sums (a run), and codes of
// 8 bits are taken as two summands of at most 128 each (2 * 128 * 127 < 2^15).
#include <immintrin.h>

#include "runtime/cpu/matmul_kernel.hpp"
#include "runtime/cpu/values_kernel.hpp"

namespace sqf {
namespace {

struct Avx2 {
  using I = __m256i;
  using F = __m256;
  static constexpr int kLanes = 8;
  static constexpr int kDirectTokens = 2, kDirectMax = 2;
  static constexpr int kDenseTokens = 3;
  static constexpr int kDirectValues = 1, kWideTokens = 3;  // 8 sums, 12 of the 16 registers

  static I load_i(const void* p) { return _mm256_loadu_si256(static_cast<const I*>(p)); }
  static void store_i(void* p, I v) { _mm256_storeu_si256(static_cast<I*>(p), v); }
  static F load_f(const float* p) { return _mm256_loadu_ps(p); }
  static void store_f(float* p, F v) { _mm256_storeu_ps(p, v); }
  static I broadcast_i(int32_t v) { return _mm256_set1_epi32(v); }
  static I broadcast_8(int v) { return _mm256_set1_epi8(static_cast<char>(v)); }
  static F broadcast(float v) { return _mm256_set1_ps(v); }
  static I bit_and(I a, I b) { return _mm256_and_si256(a, b); }
  static I bit_or(I a, I b) { return _mm256_or_si256(a, b); }
  static I or_masked(I base, I v, I mask) { return bit_or(base, bit_and(v, mask)); }
  template <int By>
  static I shift(I v) {
    if constexpr (By > 0) return _mm256_slli_epi16(v, By);
    if constexpr (By < 0) return _mm256_srli_epi16(v, -By);
    return v;
  }
  static I shift_left(I v, int by) { return _mm256_sll_epi16(v, _mm_cvtsi32_si128(by)); }
  static I shift_right(I v, int by) { return _mm256_srl_epi16(v, _mm_cvtsi32_si128(by)); }
  static F mul(F a, F b) { return _mm256_mul_ps(a, b); }
  static F add(F a, F b) { return _mm256_add_ps(a, b); }
  static F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
  static F to_f(I v) { return _mm256_cvtepi32_ps(v); }
  static void prefetch(const uint8_t* p) {
    _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T0);
  }

  static I load_u8(const uint8_t* p) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  }
  static I load_u4(const uint8_t* p, int half) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    const __m128i nibbles = half == 0 ? bytes : _mm_srli_epi16(bytes, 4);
    return _mm256_cvtepu8_epi32(_mm_and_si128(nibbles, _mm_set1_epi8(15)));
  }
  static F load_f16(const uint8_t* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static F load_bf16(const uint8_t* p) {
    const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  }
  static void widen_f16(const uint8_t* p, F (&out)[2]) {
    const I halves_of_lane = _mm256_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15,
                                              0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
    const I columns =
        _mm256_permute4x64_epi64(_mm256_shuffle_epi8(load_i(p), halves_of_lane), 0xd8);
    out[0] = _mm256_cvtph_ps(_mm256_castsi256_si128(columns));
    out[1] = _mm256_cvtph_ps(_mm256_extracti128_si256(columns, 1));
  }
  static void widen_bf16(const uint8_t* p, F (&out)[2]) {
    const I words = load_i(p);
    out[0] = _mm256_castsi256_ps(_mm256_slli_epi32(words, 16));
    out[1] = _mm256_castsi256_ps(bit_and(words, broadcast_i(static_cast<int32_t>(0xffff0000))));
  }
  static void widen_i8(const uint8_t* p, F (&out)[4]) {
    const I words = load_i(p);
    out[0] = to_f(_mm256_srai_epi32(_mm256_slli_epi32(words, 24), 24));
    out[1] = to_f(_mm256_srai_epi32(_mm256_slli_epi32(words, 16), 24));
    out[2] = to_f(_mm256_srai_epi32(_mm256_slli_epi32(words, 8), 24));
    out[3] = to_f(_mm256_srai_epi32(words, 24));
  }
  static F look_up(const float* table, I index) { return _mm256_i32gather_ps(table, index, 4); }

  static __m256i rows_mask(int64_t rows) {
    const int lanes = rows >= 8 ? 8 : rows < 0 ? 0 : static_cast<int>(rows);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(lanes), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  static F load_rows(const float* p, int64_t rows) {
    return rows >= 8 ? load_f(p) : _mm256_maskload_ps(p, rows_mask(rows));
  }
  static void store_rows(float* p, int64_t rows, F v) {
    if (rows >= 8) return _mm256_storeu_ps(p, v);
    _mm256_maskstore_ps(p, rows_mask(rows), v);
  }

  static I zero_pair(I zero) { return _mm256_or_si256(zero, _mm256_slli_epi32(zero, 23)); }
  static I multiply_pairs(I pairs, int32_t correction) {
    return _mm256_madd_epi16(pairs, _mm256_set1_epi32(correction));
  }
  static I four(const int8_t* x) {
    int32_t word;
    __builtin_memcpy(&word, x, 4);
    return _mm256_set1_epi32(word);
  }

  /// Sums that fit an i16 before they must be widened; 0: not even one of a whole code.
  static constexpr int run_of(int width) {
    return width <= 4 ? 8 : width == 5 ? 4 : width == 6 ? 2 : width == 7 ? 1 : 0;
  }
  static I widen(I sum, I pairs) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
  static I add_wide(I sum, I codes, I x) {
    const I half = bit_and(_mm256_srli_epi16(codes, 1), broadcast_8(0x7f));
    const I rest = _mm256_sub_epi8(codes, half);
    sum = widen(sum, _mm256_maddubs_epi16(half, x));
    return widen(sum, _mm256_maddubs_epi16(rest, x));
  }

  template <int Width>
  static void dot32(I* sum, const I (&codes)[8], const int8_t* x) {
    constexpr int kRun = run_of(Width);
    if constexpr (kRun == 0) {
#pragma GCC unroll 8
      for (int i = 0; i < 8; i++) *sum = add_wide(*sum, codes[i], four(x + 4 * i));
    } else {
#pragma GCC unroll 8
      for (int i = 0; i < 8; i += kRun) {
        I pairs = _mm256_maddubs_epi16(codes[i], four(x + 4 * i));
#pragma GCC unroll 8
        for (int r = 1; r < kRun; r++)
          pairs =
              _mm256_add_epi16(pairs, _mm256_maddubs_epi16(codes[i + r], four(x + 4 * (i + r))));
        *sum = widen(*sum, pairs);
      }
    }
  }

  template <int Run, int Strips, int Tokens>
  static void dot16(I (&sums)[Strips][Tokens], const uint8_t* const (&codes)[Strips],
                    const int8_t* x, int64_t stride) {
    if constexpr (Run == 4) {
#pragma GCC unroll 2
      for (int s = 0; s < Strips; s++) {
#pragma GCC unroll 4
        for (int t = 0; t < Tokens; t++) {
          I pairs = _mm256_maddubs_epi16(load_i(codes[s]), four(x + t * stride));
#pragma GCC unroll 4
          for (int i = 1; i < 4; i++)
            pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(load_i(codes[s] + 64 * i),
                                                                 four(x + t * stride + 4 * i)));
          sums[s][t] = widen(sums[s][t], pairs);
        }
      }
    } else {
#pragma GCC unroll 4
      for (int i = 0; i < 4; i++) {
#pragma GCC unroll 2
        for (int s = 0; s < Strips; s++) {
          const I w = load_i(codes[s] + 64 * i);
#pragma GCC unroll 4
          for (int t = 0; t < Tokens; t++) {
            const I columns = four(x + t * stride + 4 * i);
            sums[s][t] = Run == 1 ? widen(sums[s][t], _mm256_maddubs_epi16(w, columns))
                                  : add_wide(sums[s][t], w, columns);
          }
        }
      }
    }
  }

  static void dense(const MatmulJob& job) {
    int bits = 0;
    for (int p = 0; p < job.plane_count; p++) bits += job.plane_bits[p];
    if (bits <= 5) return Kernels<Avx2>::dense<4>(job);
    if (bits <= 7) return Kernels<Avx2>::dense<1>(job);
    Kernels<Avx2>::dense<0>(job);
  }
};

}  // namespace

void matmul_avx2(const MatmulJob& job) {
  Kernels<Avx2>::run(job);
}

void multiply_values_avx2(const ValuesJob& job) {
  ValuesKernel<Avx2>::run(job);
}

}  // namespace sqf

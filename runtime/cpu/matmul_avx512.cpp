// Compiled for AVX-512 with VNNI: see matmul_kernel.hpp for what must not be called here.
#include <immintrin.h>

#include "runtime/cpu/matmul_kernel.hpp"
#include "runtime/cpu/values_kernel.hpp"

namespace sqf {
namespace {

struct Avx512 {
  using I = __m512i;
  using F = __m512;
  static constexpr int kLanes = 16;
  static constexpr int kDirectTokens = 4, kDirectMax = 5;
  static constexpr int kDenseTokens = 6;  // 12 sums and 12 results of the 32 registers
  static constexpr int kDirectValues = 4, kWideTokens = 6;  // 16 and 24 sums

  static I load_i(const void* p) { return _mm512_loadu_si512(p); }
  static void store_i(void* p, I v) { _mm512_storeu_si512(p, v); }
  static F load_f(const float* p) { return _mm512_loadu_ps(p); }
  static void store_f(float* p, F v) { _mm512_storeu_ps(p, v); }
  static I broadcast_i(int32_t v) { return _mm512_set1_epi32(v); }
  static I broadcast_8(int v) { return _mm512_set1_epi8(static_cast<char>(v)); }
  static F broadcast(float v) { return _mm512_set1_ps(v); }
  static I bit_and(I a, I b) { return _mm512_and_si512(a, b); }
  static I bit_or(I a, I b) { return _mm512_or_si512(a, b); }
  static I or_masked(I base, I v, I mask) {
    return _mm512_ternarylogic_epi32(base, v, mask, 0xf8);  // base | (v & mask)
  }
  template <int By>
  static I shift(I v) {
    if constexpr (By > 0) return _mm512_slli_epi16(v, By);
    if constexpr (By < 0) return _mm512_srli_epi16(v, -By);
    return v;
  }
  static I shift_left(I v, int by) { return _mm512_sll_epi16(v, _mm_cvtsi32_si128(by)); }
  static I shift_right(I v, int by) { return _mm512_srl_epi16(v, _mm_cvtsi32_si128(by)); }
  static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static F add(F a, F b) { return _mm512_add_ps(a, b); }
  static F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  static F to_f(I v) { return _mm512_cvtepi32_ps(v); }
  static void prefetch(const uint8_t* p) {
    _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T0);
  }

  static I load_u8(const uint8_t* p) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static I load_u4(const uint8_t* p, int) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    const __m128i pairs = _mm_unpacklo_epi64(bytes, _mm_srli_epi16(bytes, 4));
    return _mm512_cvtepu8_epi32(_mm_and_si128(pairs, _mm_set1_epi8(15)));
  }
  static F load_f16(const uint8_t* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static F load_bf16(const uint8_t* p) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }
  static void widen_f16(const uint8_t* p, F (&out)[2]) {
    const I evens = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const F low = load_f16(p), high = load_f16(p + 32);
    out[0] = _mm512_permutex2var_ps(low, evens, high);
    out[1] = _mm512_permutex2var_ps(low, bit_or(evens, broadcast_i(1)), high);
  }
  static void widen_bf16(const uint8_t* p, F (&out)[2]) {
    const I words = load_i(p);
    out[0] = _mm512_castsi512_ps(_mm512_slli_epi32(words, 16));
    out[1] = _mm512_castsi512_ps(bit_and(words, broadcast_i(static_cast<int32_t>(0xffff0000))));
  }
  static void widen_i8(const uint8_t* p, F (&out)[4]) {
    const I words = load_i(p);
    out[0] = to_f(_mm512_srai_epi32(_mm512_slli_epi32(words, 24), 24));
    out[1] = to_f(_mm512_srai_epi32(_mm512_slli_epi32(words, 16), 24));
    out[2] = to_f(_mm512_srai_epi32(_mm512_slli_epi32(words, 8), 24));
    out[3] = to_f(_mm512_srai_epi32(words, 24));
  }
  static F look_up(const float* table, I index) { return _mm512_i32gather_ps(index, table, 4); }

  static __mmask16 rows_mask(int64_t rows) {
    return rows >= 16 ? static_cast<__mmask16>(0xffff) : static_cast<__mmask16>((1u << rows) - 1);
  }
  static F load_rows(const float* p, int64_t rows) {
    return _mm512_maskz_loadu_ps(rows_mask(rows), p);
  }
  static void store_rows(float* p, int64_t rows, F v) {
    _mm512_mask_storeu_ps(p, rows_mask(rows), v);
  }

  static I zero_pair(I zero) { return _mm512_or_si512(zero, _mm512_slli_epi32(zero, 23)); }
  static I multiply_pairs(I pairs, int32_t correction) {
    return _mm512_madd_epi16(pairs, _mm512_set1_epi32(correction));
  }
  static I four(const int8_t* x) {
    int32_t word;
    __builtin_memcpy(&word, x, 4);
    return _mm512_set1_epi32(word);
  }

  template <int Width>
  static void dot32(I* sum, const I (&codes)[8], const int8_t* x) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) *sum = _mm512_dpbusd_epi32(*sum, codes[i], four(x + 4 * i));
  }

  template <int Run, int Strips, int Tokens>
  static void dot16(I (&sums)[Strips][Tokens], const uint8_t* const (&codes)[Strips],
                    const int8_t* x, int64_t stride) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
      I w[Strips];
#pragma GCC unroll 2
      for (int s = 0; s < Strips; s++) w[s] = load_i(codes[s] + 64 * i);
#pragma GCC unroll 8
      for (int t = 0; t < Tokens; t++) {
        const I columns = four(x + t * stride + 4 * i);
#pragma GCC unroll 2
        for (int s = 0; s < Strips; s++)
          sums[s][t] = _mm512_dpbusd_epi32(sums[s][t], w[s], columns);
      }
    }
  }

  static void dense(const MatmulJob& job) {
    Kernels<Avx512>::dense<0>(job);
  }
};

}  // namespace

void matmul_avx512(const MatmulJob& job) {
  Kernels<Avx512>::run(job);
}

void multiply_values_avx512(const ValuesJob& job) {
  ValuesKernel<Avx512>::run(job);
}

}  // namespace sqf

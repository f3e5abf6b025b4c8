// Compiled for AVX-512: static functions and intrinsics only (see quantize_kernel.hpp).
#include <immintrin.h>

#include "runtime/cpu/quantize_kernel.hpp"

namespace sqf {
namespace {

__mmask16 first_lanes(int64_t count) {
  return count >= 16 ? static_cast<__mmask16>(0xffff) : static_cast<__mmask16>((1u << count) - 1);
}

}  // namespace

uint32_t absmax_bits_avx512(const float* x, int64_t columns) {
  const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
  __m512i largest = _mm512_setzero_si512();
  for (int64_t i = 0; i < columns; i += 16) {
    const __m512i bits = _mm512_maskz_loadu_epi32(first_lanes(columns - i), x + i);
    largest = _mm512_max_epu32(largest, _mm512_and_si512(bits, magnitude));
  }
  return _mm512_reduce_max_epu32(largest);
}

int32_t round_segment_avx512(const SegmentSpan& span, float inverse) {
  const __m512 factor = _mm512_set1_ps(inverse);
  const __m512i most = _mm512_set1_epi32(127), least = _mm512_set1_epi32(-127);
  __m512i sum = _mm512_setzero_si512();
  for (int64_t i = 0; i < span.slots; i += 16) {
    const __mmask16 lanes = i < span.columns ? first_lanes(span.columns - i) : __mmask16{0};
    const __m512 scaled = _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, span.x + i), factor);
    __m512i q = _mm512_cvt_roundps_epi32(scaled, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    q = _mm512_max_epi32(_mm512_min_epi32(q, most), least);
    sum = _mm512_add_epi32(sum, q);
    _mm_store_si128(reinterpret_cast<__m128i*>(span.q + i), _mm512_cvtepi32_epi8(q));
  }
  return _mm512_reduce_add_epi32(sum);
}

}  // namespace sqf

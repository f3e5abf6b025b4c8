// Compiled for AVX-512: static functions and intrinsics only (see quantize_kernel.hpp).
#include <immintrin.h>

#include "runtime/cpu/quantize_kernel.hpp"

namespace sqf {
namespace {

__mmask16 first_lanes(int64_t count) {
  return count >= 16 ? static_cast<__mmask16>(0xffff) : static_cast<__mmask16>((1u << count) - 1);
}

/// Floats as integers of the same order. Its own inverse.
__m512i ordered(__m512i bits) {
  return _mm512_xor_si512(bits, _mm512_srli_epi32(_mm512_srai_epi32(bits, 31), 1));
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

void find_ends_avx512(const float* x, int64_t columns, float* ends) {
  __m512i least = _mm512_set1_epi32(0x7fffffff), greatest = _mm512_set1_epi32(-0x7fffffff - 1);
  for (int64_t i = 0; i < columns; i += 16) {
    const __mmask16 lanes = first_lanes(columns - i);
    const __m512i keys = ordered(_mm512_maskz_loadu_epi32(lanes, x + i));
    least = _mm512_mask_min_epi32(least, lanes, least, keys);
    greatest = _mm512_mask_max_epi32(greatest, lanes, greatest, keys);
  }
  const __m512i low = ordered(_mm512_set1_epi32(_mm512_reduce_min_epi32(least)));
  const __m512i high = ordered(_mm512_set1_epi32(_mm512_reduce_max_epi32(greatest)));
  ends[0] = _mm512_cvtss_f32(_mm512_castsi512_ps(low));
  ends[1] = _mm512_cvtss_f32(_mm512_castsi512_ps(high));
}

int32_t round_segment_to_avx512(const SegmentGrid& grid, const SegmentSpan& span) {
  const __m512 scale = _mm512_set1_ps(grid.scale), low = _mm512_set1_ps(grid.low);
  const __m512 lowest = _mm512_set1_ps(grid.lowest), highest = _mm512_set1_ps(grid.highest);
  const __m512i shift = _mm512_set1_epi32(grid.shift);
  __m512i sum = _mm512_setzero_si512();
  for (int64_t i = 0; i < span.slots; i += 16) {
    const __mmask16 lanes = i < span.columns ? first_lanes(span.columns - i) : __mmask16{0};
    const __m512 x = _mm512_maskz_loadu_ps(lanes, span.x + i);
    __m512 v = _mm512_div_ps(_mm512_sub_ps(x, low), scale);
    v = _mm512_min_ps(highest, _mm512_max_ps(lowest, v));
    const __m512i rounded =
        _mm512_cvt_roundps_epi32(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m512i q = _mm512_maskz_sub_epi32(lanes, rounded, shift);
    sum = _mm512_add_epi32(sum, q);
    _mm_store_si128(reinterpret_cast<__m128i*>(span.q + i), _mm512_cvtepi32_epi8(q));
  }
  return _mm512_reduce_add_epi32(sum);
}

}  // namespace sqf

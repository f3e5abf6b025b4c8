// Compiled for AVX2: static functions and intrinsics only (see quantize_kernel.hpp).
#include <immintrin.h>

#include "runtime/cpu/quantize_kernel.hpp"

namespace sqf {
namespace {

__m256i first_lanes(int64_t count) {
  const int lanes = count >= 8 ? 8 : count < 0 ? 0 : static_cast<int>(count);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(lanes), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

__m256 load_first(const float* x, int64_t count) {
  return count >= 8 ? _mm256_loadu_ps(x) : _mm256_maskload_ps(x, first_lanes(count));
}

}  // namespace

uint32_t absmax_bits_avx2(const float* x, int64_t columns) {
  const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
  __m256i largest = _mm256_setzero_si256();
  for (int64_t i = 0; i < columns; i += 8) {
    const __m256i bits = _mm256_castps_si256(load_first(x + i, columns - i));
    largest = _mm256_max_epu32(largest, _mm256_and_si256(bits, magnitude));
  }
  __m128i half =
      _mm_max_epu32(_mm256_castsi256_si128(largest), _mm256_extracti128_si256(largest, 1));
  half = _mm_max_epu32(half, _mm_shuffle_epi32(half, 0x4e));
  half = _mm_max_epu32(half, _mm_shuffle_epi32(half, 0xb1));
  return static_cast<uint32_t>(_mm_cvtsi128_si32(half));
}

int32_t round_segment_avx2(const SegmentSpan& span, float inverse) {
  const __m256 factor = _mm256_set1_ps(inverse);
  const __m256i most = _mm256_set1_epi32(127), least = _mm256_set1_epi32(-127);
  __m256i sum = _mm256_setzero_si256();
  for (int64_t i = 0; i < span.slots; i += 8) {
    const __m256 x =
        i < span.columns ? load_first(span.x + i, span.columns - i) : _mm256_setzero_ps();
    const __m256 rounded =
        _mm256_round_ps(_mm256_mul_ps(x, factor), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256i q = _mm256_cvtps_epi32(rounded);
    q = _mm256_max_epi32(_mm256_min_epi32(q, most), least);
    sum = _mm256_add_epi32(sum, q);
    const __m128i words =
        _mm_packs_epi32(_mm256_castsi256_si128(q), _mm256_extracti128_si256(q, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(span.q + i), _mm_packs_epi16(words, words));
  }
  __m128i half = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
  half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4e));
  half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0xb1));
  return _mm_cvtsi128_si32(half);
}

}  // namespace sqf

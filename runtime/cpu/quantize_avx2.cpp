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

/// Floats as integers of the same order. Its own inverse.
__m256i ordered(__m256i bits) {
  return _mm256_xor_si256(bits, _mm256_srli_epi32(_mm256_srai_epi32(bits, 31), 1));
}

int32_t sum_of_lanes(__m256i sum) {
  __m128i half = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
  half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4e));
  half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0xb1));
  return _mm_cvtsi128_si32(half);
}

void store_bytes(int8_t* to, __m256i q) {
  const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(q), _mm256_extracti128_si256(q, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_packs_epi16(words, words));
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
    store_bytes(span.q + i, q);
  }
  return sum_of_lanes(sum);
}

void find_ends_avx2(const float* x, int64_t columns, float* ends) {
  __m256i least = _mm256_set1_epi32(0x7fffffff), greatest = _mm256_set1_epi32(-0x7fffffff - 1);
  for (int64_t i = 0; i < columns; i += 8) {
    const __m256i lanes = first_lanes(columns - i);
    const __m256i keys = ordered(_mm256_castps_si256(load_first(x + i, columns - i)));
    least = _mm256_min_epi32(least, _mm256_blendv_epi8(least, keys, lanes));
    greatest = _mm256_max_epi32(greatest, _mm256_blendv_epi8(greatest, keys, lanes));
  }
  alignas(32) int32_t low[8], high[8];
  _mm256_store_si256(reinterpret_cast<__m256i*>(low), least);
  _mm256_store_si256(reinterpret_cast<__m256i*>(high), greatest);
  for (int i = 1; i < 8; i++) {
    low[0] = low[i] < low[0] ? low[i] : low[0];
    high[0] = high[i] > high[0] ? high[i] : high[0];
  }
  ends[0] = _mm256_cvtss_f32(_mm256_castsi256_ps(ordered(_mm256_set1_epi32(low[0]))));
  ends[1] = _mm256_cvtss_f32(_mm256_castsi256_ps(ordered(_mm256_set1_epi32(high[0]))));
}

int32_t round_segment_to_avx2(const SegmentGrid& grid, const SegmentSpan& span) {
  const __m256 scale = _mm256_set1_ps(grid.scale), low = _mm256_set1_ps(grid.low);
  const __m256 lowest = _mm256_set1_ps(grid.lowest), highest = _mm256_set1_ps(grid.highest);
  const __m256i shift = _mm256_set1_epi32(grid.shift);
  __m256i sum = _mm256_setzero_si256();
  for (int64_t i = 0; i < span.slots; i += 8) {
    const int64_t left = span.columns - i;
    const __m256 x = left > 0 ? load_first(span.x + i, left) : _mm256_setzero_ps();
    __m256 v = _mm256_div_ps(_mm256_sub_ps(x, low), scale);
    v = _mm256_min_ps(highest, _mm256_max_ps(lowest, v));
    const __m256 rounded = _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m256i q =
        _mm256_and_si256(_mm256_sub_epi32(_mm256_cvtps_epi32(rounded), shift), first_lanes(left));
    sum = _mm256_add_epi32(sum, q);
    store_bytes(span.q + i, q);
  }
  return sum_of_lanes(sum);
}

}  // namespace sqf

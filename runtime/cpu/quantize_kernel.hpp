#pragma once
// Between quantize.cpp and the instruction-set specific sources. Those are compiled with flags of
// their own, so nothing here may define an inline function that others could be linked to.

#include <cstdint>

namespace sqf {

/// One segment of one token.
struct SegmentSpan {
  const float* x;
  int64_t columns;
  int64_t slots;  ///< a multiple of 16; q beyond the columns becomes 0
  int8_t* q;
};

/// An IntegerGrid with its ends as they are compared.
struct SegmentGrid {
  float scale, low, lowest, highest;
  int32_t shift;
};

/// What a kernel needs beside q: the bits of the largest |x|, and the sum of q.
using AbsmaxBits = uint32_t (*)(const float* x, int64_t columns);
using RoundSegment = int32_t (*)(const SegmentSpan& span, float inverse);

/// ends: the least and the greatest of x, infinities and NaN beyond all numbers.
using FindEnds = void (*)(const float* x, int64_t columns, float* ends);
using RoundSegmentTo = int32_t (*)(const SegmentGrid& grid, const SegmentSpan& span);

uint32_t absmax_bits_avx2(const float* x, int64_t columns);
int32_t round_segment_avx2(const SegmentSpan& span, float inverse);
void find_ends_avx2(const float* x, int64_t columns, float* ends);
int32_t round_segment_to_avx2(const SegmentGrid& grid, const SegmentSpan& span);
uint32_t absmax_bits_avx512(const float* x, int64_t columns);
int32_t round_segment_avx512(const SegmentSpan& span, float inverse);
void find_ends_avx512(const float* x, int64_t columns, float* ends);
int32_t round_segment_to_avx512(const SegmentGrid& grid, const SegmentSpan& span);

}  // namespace sqf

#include "runtime/cpu/quantize.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>

#include "runtime/cpu/quantize_kernel.hpp"

namespace sqf {
namespace {

constexpr std::align_val_t kAlignment{64};
// Adding 1.5 * 2^23 leaves no fraction bits: the addition itself rounds to nearest even.
constexpr float kRounder = 12582912.0f;

int64_t round_up(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

/// As group_slots() of the planes that take a group of 16 (format/encoding.hpp), except that a
/// last group of 16 columns among longer ones is padded to 32 here.
int64_t slots_of(uint32_t group, int64_t columns) {
  return group == 16 && columns == 16 ? 16 : round_up(columns, 32);
}

// Comparing magnitudes as integers ranks infinity and NaN last, and has no order of operations.
uint32_t absmax_bits_scalar(const float* x, int64_t columns) {
  uint32_t largest = 0;
  for (int64_t i = 0; i < columns; i++)
    largest = std::max(largest, std::bit_cast<uint32_t>(x[i]) & 0x7fffffffu);
  return largest;
}

int32_t round_segment_scalar(const SegmentSpan& span, float inverse) {
  int32_t sum = 0;
  for (int64_t i = 0; i < span.columns; i++) {
    const float rounded = span.x[i] * inverse + kRounder - kRounder;
    const int32_t q = std::clamp(static_cast<int32_t>(rounded), -127, 127);
    span.q[i] = static_cast<int8_t>(q);
    sum += q;
  }
  std::memset(span.q + span.columns, 0, static_cast<size_t>(span.slots - span.columns));
  return sum;
}

void find_ends_scalar(const float* x, int64_t columns, float* ends) {
  const ActivationRange range = range_of(x, columns);
  ends[0] = range.low;
  ends[1] = range.high;
}

int32_t round_segment_to_scalar(const SegmentGrid& grid, const SegmentSpan& span) {
  int32_t sum = 0;
  for (int64_t i = 0; i < span.columns; i++) {
    float v = (span.x[i] - grid.low) / grid.scale;
    v = v < grid.lowest ? grid.lowest : v;
    v = v > grid.highest ? grid.highest : v;
    const int32_t q = static_cast<int32_t>(v + kRounder - kRounder) - grid.shift;
    span.q[i] = static_cast<int8_t>(q);
    sum += q;
  }
  std::memset(span.q + span.columns, 0, static_cast<size_t>(span.slots - span.columns));
  return sum;
}

struct Kernel {
  AbsmaxBits absmax_bits;
  RoundSegment round_segment;
  FindEnds find_ends;
  RoundSegmentTo round_segment_to;
};

Kernel kernel_of([[maybe_unused]] Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::avx512_vnni)
    return {absmax_bits_avx512, round_segment_avx512, find_ends_avx512, round_segment_to_avx512};
  if (isa == Isa::avx2)
    return {absmax_bits_avx2, round_segment_avx2, find_ends_avx2, round_segment_to_avx2};
#endif
  return {absmax_bits_scalar, round_segment_scalar, find_ends_scalar, round_segment_to_scalar};
}

/// -sum = low + 128 * high with both in 16 bits: one multiply-add of pairs then gives zero * -sum.
/// Only a whole segment of -128 needs the bound.
int32_t correction_of(int32_t sum) {
  const int32_t high = std::min((64 - sum) >> 7, 32767), low = -sum - high * 128;
  return static_cast<int32_t>((static_cast<uint32_t>(low) & 0xffffu) | static_cast<uint32_t>(high)
                                                                           << 16);
}

void quantize_token(const Kernel& kernel, const float* x, int64_t token, QuantizedInput* out) {
  int8_t* q = out->q + token * out->stride;
  for (int64_t s = 0; s < out->segments; s++) {
    const int64_t columns = out->segment_columns(s), at = token * out->segments + s;
    const SegmentSpan span = {x + s * out->segment, columns, slots_of(out->group, columns),
                              q + s * out->segment_slots};
    const uint32_t bits = kernel.absmax_bits(span.x, columns);
    const float absmax = std::bit_cast<float>(bits);
    int32_t sum = 0;
    float scale = 0;
    if (bits < 0x7f800000u && absmax >= 0x1p-100f) {
      scale = absmax / 127.0f;
      sum = kernel.round_segment(span, 1.0f / scale);
    } else {
      if (bits >= 0x7f800000u) scale = std::numeric_limits<float>::quiet_NaN();
      std::memset(span.q, 0, static_cast<size_t>(span.slots));
    }
    out->scales[at] = scale;
    out->corrections[at] = correction_of(sum);
    out->sums[at] = scale * static_cast<float>(sum);
  }
  std::memset(q + out->slots, 0, static_cast<size_t>(out->stride - out->slots));
}

}  // namespace

ActivationRange activation_range(Isa isa, const float* x, int64_t count) {
  float ends[2];
  kernel_of(isa).find_ends(x, count, ends);
  return range_of(ends, 2);
}

void quantize_token_to(Isa isa, const IntegerGrid& grid, const float* x, int64_t token,
                       QuantizedInput* out) {
  const Kernel kernel = kernel_of(isa);
  const SegmentGrid ends = {grid.scale, grid.low, static_cast<float>(grid.lowest),
                            static_cast<float>(grid.highest), grid.shift};
  int8_t* q = out->q + token * out->stride;
  if (std::isnan(grid.scale)) std::memset(q, 0, static_cast<size_t>(out->stride));
  for (int64_t s = 0; s < out->segments; s++) {
    const int64_t columns = out->segment_columns(s), at = token * out->segments + s;
    const SegmentSpan span = {x + s * out->segment, columns, slots_of(out->group, columns),
                              q + s * out->segment_slots};
    const int32_t sum = std::isnan(grid.scale) ? 0 : kernel.round_segment_to(ends, span);
    out->scales[at] = grid.scale;
    out->corrections[at] = correction_of(sum);
    out->sums[at] = grid.scale * static_cast<float>(sum);
  }
  std::memset(q + out->slots, 0, static_cast<size_t>(out->stride - out->slots));
}

void AlignedBuffer::Free::operator()(std::byte* memory) const {
  ::operator delete(memory, kAlignment);
}

std::byte* AlignedBuffer::reserve(int64_t bytes) {
  if (bytes > size_) {
    memory_.reset();
    size_ = 0;
    memory_.reset(static_cast<std::byte*>(::operator new(static_cast<size_t>(bytes), kAlignment)));
    size_ = bytes;
  }
  return memory_.get();
}

void shape_input(int64_t tokens, int64_t columns, uint32_t group, QuantizedInput* out) {
  out->tokens = tokens;
  out->columns = columns;
  out->group = group;
  out->segment = std::min<int64_t>(columns, group == 0 ? kMaxSegment : group);
  out->segments = (columns + out->segment - 1) / out->segment;
  out->segment_slots = slots_of(group, out->segment);
  const int64_t last = out->segments - 1;
  out->slots = last * out->segment_slots + slots_of(group, out->segment_columns(last));
  // An odd number of lines spreads the tokens of one block over the sets of the cache.
  out->stride = (round_up(out->slots, 64) / 64 | 1) * 64;

  const int64_t per_array = round_up(tokens * out->segments * 4, 64);
  std::byte* memory = out->storage.reserve(tokens * out->stride + 3 * per_array);
  out->q = reinterpret_cast<int8_t*>(memory);
  memory += tokens * out->stride;
  out->scales = reinterpret_cast<float*>(memory);
  out->corrections = reinterpret_cast<int32_t*>(memory + per_array);
  out->sums = reinterpret_cast<float*>(memory + 2 * per_array);
}

void quantize_tokens(Isa isa, const float* x, int64_t x_stride, int64_t begin, int64_t end,
                     QuantizedInput* out) {
  const Kernel kernel = kernel_of(isa);
  for (int64_t token = begin; token < end; token++)
    quantize_token(kernel, x + token * x_stride, token, out);
}

void quantize_input(Isa isa, const float* x, int64_t tokens, int64_t columns, uint32_t group,
                    QuantizedInput* out) {
  shape_input(tokens, columns, group, out);
  quantize_tokens(isa, x, columns, 0, tokens, out);
}

}  // namespace sqf

#pragma once
// Activations as the integer kernels read them: int8, symmetric, one scale per token and segment.
// A segment is a group of the weights; a whole-row group longer than kMaxSegment is cut, so that
// an int32 holds every dot product. Every instruction set gives the same bits:
//   scale = absmax / 127        q = rne(x * (1 / scale))
// absmax under 2^-100 counts as 0 (scale 0, q 0); an infinity or NaN makes the scale NaN and q 0,
// so that it comes out of the product instead of vanishing.

#include <cstddef>
#include <cstdint>
#include <memory>

#include "format/activation.hpp"
#include "runtime/cpu/isa.hpp"

namespace sqf {

/// 32768 * 255 * 128 < 2^31, and the sum of as many q fits the two halves of a correction.
inline constexpr int64_t kMaxSegment = 32768;

/// 64-byte aligned memory that only grows.
class AlignedBuffer {
 public:
  /// At least `bytes`, contents lost when it has to grow.
  std::byte* reserve(int64_t bytes);

 private:
  struct Free {
    void operator()(std::byte* memory) const;
  };
  std::unique_ptr<std::byte, Free> memory_;
  int64_t size_ = 0;
};

/// Quantized activations of some tokens, laid out by shape_input and filled by quantize_*.
struct QuantizedInput {
  int64_t tokens = 0, columns = 0;
  uint32_t group = 0;  ///< group of the weights it is for; 0: whole row

  int64_t segment = 0;        ///< columns per segment, all but the last
  int64_t segments = 0;       ///< per token
  int64_t segment_slots = 0;  ///< columns with padding (zeros), as the words of a tile are padded
  int64_t slots = 0;          ///< of one token
  int64_t stride = 0;         ///< bytes from token to token: 64 times an odd number

  int8_t* q = nullptr;             ///< [token][stride]
  float* scales = nullptr;         ///< [token][segment]
  int32_t* corrections = nullptr;  ///< [token][segment]: -sum(q) as low + 128 * high, i16 each
  float* sums = nullptr;           ///< [token][segment]: scale * float(sum(q))
  AlignedBuffer storage;

  int64_t segment_columns(int64_t index) const {
    return index + 1 < segments ? segment : columns - segment * index;
  }
};

/// Sets the shape and makes room; memory is kept from call to call where it fits.
void shape_input(int64_t tokens, int64_t columns, uint32_t group, QuantizedInput* out);

/// Quantizes tokens [begin, end) of x into a shaped input: threads share the work by ranges. Token
/// t stands at x + t * x_stride.
void quantize_tokens(Isa isa, const float* x, int64_t x_stride, int64_t begin, int64_t end,
                     QuantizedInput* out);

/// q = clamp(rne((x - low) / scale), lowest, highest) - shift, as a file's own quantizer of up to 8
/// bits has it: the same scale for a whole token, every step rounded to f32.
struct IntegerGrid {
  float scale = 0, low = 0;  ///< scale NaN: x has no place on it; q 0, and NaN comes out
  int32_t lowest = 0, highest = 0, shift = 0;
};

/// One token x [columns] onto a grid, into a shaped input.
void quantize_token_to(Isa isa, const IntegerGrid& grid, const float* x, int64_t token,
                       QuantizedInput* out);

/// range_of(x, count) (format/activation.hpp) of at least one value.
ActivationRange activation_range(Isa isa, const float* x, int64_t count);

/// quantize_tokens() after shape_input() for x [tokens][columns].
void quantize_input(Isa isa, const float* x, int64_t tokens, int64_t columns, uint32_t group,
                    QuantizedInput* out);

}  // namespace sqf

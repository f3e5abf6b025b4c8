#pragma once
// The positive values a scale can take in each stored type, as an ascending ladder: the index of
// a value is its bit pattern, so one rung up is the next scale. Signs are the caller's.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

#include "format/layout.hpp"
#include "format/scalar.hpp"

namespace sqf {

struct ScaleType {
  Element element = Element::f32;

  uint32_t last() const {
    switch (element) {
      case Element::f16:
        return 0x7bff;
      case Element::bf16:
        return 0x7f7f;
      case Element::e4m3:
        return 0x7e;
      case Element::e8m0:
        return 0xfe;
      case Element::u8:
        return 0xff;
      default:
        return 0x7f7fffff;
    }
  }

  /// Rung 0 is 0, but 2^-127 in e8m0, which has no zero.
  float value(uint32_t index) const {
    switch (element) {
      case Element::f16:
        return f16_to_f32(static_cast<uint16_t>(index));
      case Element::bf16:
        return bf16_to_f32(static_cast<uint16_t>(index));
      case Element::e4m3:
        return e4m3_to_f32(static_cast<uint8_t>(index));
      case Element::e8m0:
        return e8m0_to_f32(static_cast<uint8_t>(index));
      case Element::u8:
        return static_cast<float>(index);
      default:
        return std::bit_cast<float>(index);
    }
  }

  bool has_sign() const { return element != Element::u8 && element != Element::e8m0; }
  /// So few rungs that the neighbours of the nearest one are worth trying.
  bool is_coarse() const { return element_is_byte(); }
  /// The rung a row's largest scale stands on where a row factor carries its magnitude.
  uint32_t row_top() const {
    switch (element) {
      case Element::u8:
      case Element::e4m3:
        return last();
      case Element::e8m0:
        return 127;
      case Element::f16:
        return 0x3c00;
      case Element::bf16:
        return 0x3f80;
      default:
        return 0x3f800000;
    }
  }

  /// Largest rung not above v >= 0.
  uint32_t floor(float v) const {
    if (!(v > 0)) return 0;  // a range of zeros may come as -0
    if (v >= value(last())) return last();
    uint32_t guess = 0;
    switch (element) {
      case Element::f16:
        guess = std::min<uint32_t>(f32_to_f16(v), last());
        break;
      case Element::bf16:
        guess = std::bit_cast<uint32_t>(v) >> 16;
        break;
      case Element::e4m3:
        guess = v < 0x1p-6f ? static_cast<uint32_t>(v * 512)
                            : (std::bit_cast<uint32_t>(v) >> 20) - (120u << 3);
        break;
      case Element::e8m0:
        guess = std::bit_cast<uint32_t>(v) >> 23;
        break;
      case Element::u8:
        guess = static_cast<uint32_t>(v);
        break;
      default:
        guess = std::bit_cast<uint32_t>(v);
        break;
    }
    return guess > 0 && value(guess) > v ? guess - 1 : guess;
  }

  /// Smallest rung that is not below v >= 0; the last where there is none.
  uint32_t up(float v) const {
    const uint32_t index = floor(v);
    return index < last() && value(index) < v ? index + 1 : index;
  }

  /// The rung for a range of v that is not to clip. A v that is above a rung by no more than the
  /// rounding of range / codes can put it there counts as on it: weights that were decoded once
  /// find their own scale again. All rungs but those of f32 are much further apart than that.
  uint32_t covering(float v) const {
    return element == Element::f32 ? floor(v) : up(v * (1.0f - 0x1p-18f));
  }

  uint32_t nearest(float v) const {
    const uint32_t index = floor(v);
    return index < last() && value(index + 1) - v < v - value(index) ? index + 1 : index;
  }

 private:
  bool element_is_byte() const {
    return element == Element::u8 || element == Element::e4m3 || element == Element::e8m0;
  }
};

}  // namespace sqf

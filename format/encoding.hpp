#pragma once
// What an encoding's record implies: how many codes, words, groups and bytes. Every size in the
// format comes from here; the arithmetic is checked, so hostile shapes give nullopt, not a wrap.

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "format/layout.hpp"
#include "format/result.hpp"

namespace sqf {

/// Digits of this radix that one byte holds: the largest D with radix^D <= 256. 0: no such radix.
constexpr int digits_per_byte(uint32_t radix) {
  switch (radix) {
    case 256:
      return 1;
    case 16:
      return 2;
    case 5:
      return 3;
    case 4:
      return 4;
    case 3:
      return 5;
    case 2:
      return 8;
    default:
      return 0;
  }
}

/// The element type of a code plane of this radix; none where there is no such radix.
Element plane_element(uint32_t radix);

/// Bits of one element outside code planes (f32: 32, u4: 4); 0 for code planes and none.
int element_bits(Element element);
const char* element_name(Element element);

/// How `k` columns fall into groups, words and slots under one encoding.
struct Grouping {
  int64_t columns = 0;  ///< k of the part
  int64_t length = 0;   ///< columns per group, all but the last
  int64_t count = 0;    ///< groups, at least 1

  int64_t begin(int64_t group) const { return group * length; }
  int64_t size(int64_t group) const {
    return group + 1 < count ? length : columns - group * length;
  }
};
Grouping grouping(const EncodingRecord& encoding, int64_t columns);

/// Columns that a group of `length` occupies in a plane of `radix`, padding included: a multiple
/// of 32, of a whole word for radix 3 and 5, or 16 for a group of 16.
int64_t group_slots(uint32_t radix, int64_t length);

/// 32-bit words that one row takes in a plane of this radix.
int64_t words_per_row(const EncodingRecord& encoding, uint32_t radix, int64_t columns);

/// Codes run from 0 to this minus one.
uint32_t code_count(const EncodingRecord& encoding);

inline int64_t tiles_of(int64_t rows) {
  return (rows + kTileRows - 1) / kTileRows;
}

/// Where the values of one matrix stand in a component of value_shape().
struct ValueLayout {
  int64_t width = 4;  ///< bytes of a value
  int64_t lanes = 1;  ///< rows side by side
  int64_t words = 0;  ///< of a row

  ValueLayout(Element type, int64_t rows, int64_t columns)
      : width(element_bits(type) / 8),
        lanes(rows == 1 ? 1 : kTileRows),
        words((columns * width + 3) / 4) {}
  int64_t offset(int64_t row, int64_t column) const {
    const int64_t byte = column * width;
    return ((row / lanes * words + byte / 4) * lanes + row % lanes) * 4 + byte % 4;
  }
};

/// What one component of a part must look like; `experts` matrices stand one after another.
struct ComponentShape {
  Element element = Element::none;
  Packing packing = Packing::vector;
  uint64_t rows = 0, cols = 0;
};
/// Real numbers or low-rank factors: tiles, but a matrix of one row as it is.
ComponentShape value_shape(Element, uint64_t experts, uint64_t rows, uint64_t columns);
ComponentShape plane_shape(const EncodingRecord&, int plane, uint64_t experts, uint64_t rows,
                           uint64_t columns);
ComponentShape scale_shape(const EncodingRecord&, uint64_t experts, uint64_t rows,
                           uint64_t columns);
ComponentShape zero_shape(const EncodingRecord&, uint64_t experts, uint64_t rows, uint64_t columns);
ComponentShape row_factor_shape(uint64_t experts, uint64_t rows);
ComponentShape row_sum_shape(const EncodingRecord&, uint64_t experts, uint64_t rows,
                             uint64_t columns);

/// Bytes that a component of this shape takes, its padding included.
uint64_t component_bytes(const ComponentShape& shape);

/// The named problem of a record that breaks a rule, or nothing. Total over hostile records.
std::optional<std::string> encoding_problem(const EncodingRecord& encoding);

/// The usual builders. `bits` 1..8 become planes, widest radix first: 5 = 16 and 2.
EncodingRecord real_encoding(Element type);
EncodingRecord affine_encoding(int bits, uint32_t group, Element scale_type, bool row_factor,
                               ZeroKind zero);
/// Sign, 1..7 exponent and 0..6 mantissa bits, 3 to 8 in all; bias 2^(exponent_bits - 1) - 1.
EncodingRecord minifloat_encoding(int exponent_bits, int mantissa_bits, MinifloatKind kind,
                                  uint32_t group, Element scale_type, bool row_factor);
/// 2 to 16 levels: 3 and 5 of them are one plane of that radix, others the fewest bits that do.
EncodingRecord levels_encoding(std::span<const float> levels, uint32_t group, Element scale_type,
                               bool row_factor);
/// Bits of codes that fill whole bits: log2 of their count.
int code_bits(const EncodingRecord& encoding);

/// In words, e.g. "affine 4-bit g32, scale u8 x row, zero u4".
std::string describe(const EncodingRecord& encoding);

}  // namespace sqf

#include "format/part.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "format/scalar.hpp"

namespace sqf {
namespace {

float load_value(const std::byte* base, Element type, int64_t index) {
  switch (type) {
    case Element::f32:
      return load<float>(base, index);
    case Element::f16:
      return f16_to_f32(load<uint16_t>(base, index));
    case Element::bf16:
      return bf16_to_f32(load<uint16_t>(base, index));
    case Element::e8m0:
      return e8m0_to_f32(load<uint8_t>(base, index));
    case Element::e4m3:
      return e4m3_to_f32(load<uint8_t>(base, index));
    case Element::u8:
      return static_cast<float>(load<uint8_t>(base, index));
    default:
      return 0;
  }
}

/// Decodes the codes of one row and group.
template <typename Code>
void dequantize(const EncodingRecord& e, const GroupParameters& p, const Code* codes, int64_t count,
                float* out) {
  if (e.grid == Grid::affine && e.zero == ZeroKind::minimum_f16) {
    for (int64_t i = 0; i < count; i++) out[i] = p.scale * static_cast<float>(codes[i]) + p.minimum;
  } else if (e.grid == Grid::affine) {
    for (int64_t i = 0; i < count; i++)
      out[i] = p.scale * static_cast<float>(static_cast<int32_t>(codes[i]) - p.zero);
  } else if (e.grid == Grid::minifloat) {
    for (int64_t i = 0; i < count; i++) out[i] = p.scale * minifloat_value(e, codes[i]);
  } else {
    for (int64_t i = 0; i < count; i++) out[i] = p.scale * e.levels[codes[i]];
  }
}

/// Calls visit(word, first column, columns in it) for each word of a row that holds real columns.
/// With place_of, the one place that knows where in a tile the digit of a column stands.
template <typename Visit>
void each_word(const EncodingRecord& e, uint32_t radix, int64_t columns, Visit visit) {
  const int64_t per_word = 4 * digits_per_byte(radix);
  const Grouping groups = grouping(e, columns);
  int64_t word = 0;
  for (int64_t group = 0; group < groups.count; group++) {
    const int64_t begin = groups.begin(group), size = groups.size(group);
    for (int64_t i = 0; i < size; i += per_word)
      visit(word + i / per_word, begin + i, std::min(per_word, size - i));
    word += group_slots(radix, size) / per_word;
  }
}

/// Which digit of which byte of its word column `i` of the word is.
struct Place {
  int digit, byte;
};
constexpr Place place_of(int64_t i) {
  return {static_cast<int>(i / 4), static_cast<int>(i % 4)};
}

/// Calls visit(column, byte of the plane in row 0 of the tile, digit) for each real column.
template <typename Visit>
void each_digit(const EncodingRecord& e, uint32_t radix, int64_t columns, Visit visit) {
  each_word(e, radix, columns, [&](int64_t word, int64_t first, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
      const Place place = place_of(i);
      visit(first + i, word * kTileRows * 4 + place.byte, place.digit);
    }
  });
}

constexpr uint32_t power(uint32_t radix, int exponent) {
  uint32_t value = 1;
  for (int i = 0; i < exponent; i++) value *= radix;
  return value;
}

/// digits[d][byte]: divisions by a radix known only at run time are most of an unpacking's cost.
using DigitTable = std::array<std::array<uint8_t, 256>, 8>;

constexpr DigitTable make_digits(uint32_t radix) {
  DigitTable table = {};
  for (int digit = 0; digit < digits_per_byte(radix); digit++)
    for (uint32_t byte = 0; byte < 256; byte++)
      table[static_cast<size_t>(digit)][byte] =
          static_cast<uint8_t>(byte / power(radix, digit) % radix);
  return table;
}

const DigitTable& digits_of(uint32_t radix) {
  static constexpr DigitTable kTables[] = {make_digits(2), make_digits(3),  make_digits(4),
                                           make_digits(5), make_digits(16), make_digits(256)};
  switch (radix) {
    case 2:
      return kTables[0];
    case 3:
      return kTables[1];
    case 4:
      return kTables[2];
    case 5:
      return kTables[3];
    case 16:
      return kTables[4];
    default:
      return kTables[5];
  }
}

}  // namespace

GroupParameters group_parameters(const PartView& part, int64_t row, int64_t group) {
  const EncodingRecord& e = part.encoding;
  const int64_t groups = grouping(e, part.columns).count;
  const int64_t at = group_index(groups, row, group);
  GroupParameters p;
  p.scale = load_value(part.scales, e.scale_type, at);
  if (e.row_factor) p.scale *= part.row_factors[row];
  switch (e.zero) {
    case ZeroKind::constant:
      p.zero = static_cast<int32_t>(e.zero_constant);
      break;
    case ZeroKind::u8:
      p.zero = load<uint8_t>(part.zeros, at);
      break;
    case ZeroKind::u4: {
      // 8 bytes per tile and group: row i in the low nibble of byte i, row i + 8 in the high one.
      const int64_t lane = row % kTileRows;
      const uint8_t pair = load<uint8_t>(part.zeros, (at - lane) / 2 + lane % 8);
      p.zero = lane < 8 ? pair & 15 : pair >> 4;
      break;
    }
    case ZeroKind::minimum_f16:
      p.minimum = f16_to_f32(load<uint16_t>(part.zeros, at));
      break;
    default:
      break;
  }
  return p;
}

int64_t level_sum(const PartView& part, const IntegerLevels& levels, const uint8_t* codes,
                  int64_t row, int64_t group) {
  const Grouping groups = grouping(part.encoding, part.columns);
  const uint8_t* first = codes + groups.begin(group);
  int64_t sum = 0;
  for (int64_t i = 0; i < groups.size(group); i++) sum += levels[first[i]];
  return sum - groups.size(group) * group_parameters(part, row, group).zero;
}

void unpack_tile(const PartView& part, int64_t tile, uint8_t* codes) {
  const EncodingRecord& e = part.encoding;
  const int64_t columns = part.columns;
  std::fill_n(codes, kTileRows * columns, uint8_t{0});
  uint32_t weight = 1;
  for (size_t plane = 0; plane < e.plane_count; plane++) {
    const uint32_t radix = e.radices[plane];
    const std::byte* base =
        part.planes[plane] + tile * kTileRows * words_per_row(e, radix, columns) * 4;
    const DigitTable& digits = digits_of(radix);
    each_digit(e, radix, columns, [&](int64_t column, int64_t byte, int digit) {
      const auto& table = digits[static_cast<size_t>(digit)];
      for (int64_t row = 0; row < kTileRows; row++) {
        uint8_t& code = codes[row * columns + column];
        code = static_cast<uint8_t>(code + weight * table[load<uint8_t>(base, byte + row * 4)]);
      }
    });
    weight *= radix;
  }
}

void pack_lanes(const EncodingRecord& e, int64_t columns, int64_t tile, const uint8_t* codes,
                const std::array<std::byte*, kMaxPlanes>& planes) {
  int shift = 0;  // radices 3 and 5 stand alone, so what precedes a plane is whole bits
  for (size_t plane = 0; plane < e.plane_count; plane++) {
    const uint32_t radix = e.radices[plane];
    const bool whole_bits = std::has_single_bit(radix);
    const uint32_t mask = whole_bits ? radix - 1 : 255;
    const int64_t tile_bytes = kTileRows * words_per_row(e, radix, columns) * 4;
    std::byte* base = planes[plane] + tile * tile_bytes;
    std::memset(base, 0, static_cast<size_t>(tile_bytes));
    each_word(e, radix, columns, [&](int64_t word, int64_t first, int64_t count) {
      std::array<uint32_t, kTileRows> words = {};
      for (int64_t i = 0; i < count; i++) {
        const Place place = place_of(i);
        const uint32_t factor = power(radix, place.digit) << (8 * place.byte);
        const uint8_t* from = codes + (first + i) * kTileRows;
        for (size_t row = 0; row < kTileRows; row++)
          words[row] += (from[row] >> shift & mask) * factor;
      }
      std::memcpy(base + word * kTileRows * 4, words.data(), sizeof words);
    });
    if (whole_bits) shift += std::countr_zero(radix);
  }
}

void decode_tile(const PartView& part, int64_t tile, float* out) {
  const EncodingRecord& e = part.encoding;
  const int64_t columns = part.columns;
  const int64_t first = tile * kTileRows;
  if (e.grid == Grid::real) {
    for (int64_t row = 0; row < kTileRows; row++) {
      if (first + row < part.rows)
        decode_row(part, first + row, out + row * columns);
      else
        std::fill_n(out + row * columns, columns, 0.0f);
    }
    return;
  }
  std::vector<uint8_t> codes(static_cast<size_t>(kTileRows * columns));
  unpack_tile(part, tile, codes.data());
  const Grouping groups = grouping(e, columns);
  for (int64_t row = 0; row < kTileRows; row++) {
    if (first + row >= part.rows) {
      std::fill_n(out + row * columns, columns, 0.0f);
      continue;
    }
    for (int64_t group = 0; group < groups.count; group++) {
      const GroupParameters p = group_parameters(part, first + row, group);
      const int64_t begin = row * columns + groups.begin(group);
      dequantize(e, p, codes.data() + begin, groups.size(group), out + begin);
    }
  }
}

void decode_row(const PartView& part, int64_t row, float* out) {
  const EncodingRecord& e = part.encoding;
  const int64_t columns = part.columns;
  if (e.grid == Grid::real) {
    const ValueLayout layout(e.value_type, part.rows, columns);
    for (int64_t i = 0; i < columns; i++)
      out[i] = load_value(part.planes[0] + layout.offset(row, i), e.value_type, 0);
    return;
  }
  std::vector<uint32_t> codes(static_cast<size_t>(columns), 0u);
  const int64_t tile = row / kTileRows, lane = row % kTileRows;
  uint32_t weight = 1;
  for (size_t plane = 0; plane < e.plane_count; plane++) {
    const uint32_t radix = e.radices[plane];
    const std::byte* base =
        part.planes[plane] + (tile * words_per_row(e, radix, columns) * kTileRows + lane) * 4;
    const DigitTable& digits = digits_of(radix);
    each_digit(e, radix, columns, [&](int64_t column, int64_t byte, int digit) {
      codes[static_cast<size_t>(column)] +=
          weight * digits[static_cast<size_t>(digit)][load<uint8_t>(base, byte)];
    });
    weight *= radix;
  }
  const Grouping groups = grouping(e, columns);
  for (int64_t group = 0; group < groups.count; group++) {
    const GroupParameters p = group_parameters(part, row, group);
    const int64_t begin = groups.begin(group);
    dequantize(e, p, codes.data() + begin, groups.size(group), out + begin);
  }
}

}  // namespace sqf

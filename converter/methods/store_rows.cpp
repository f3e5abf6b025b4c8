#include <cmath>
#include <cstring>

#include "converter/encode.hpp"
#include "format/scalar.hpp"

namespace sqf {
namespace {

struct Stored {
  uint32_t bits;
  float value;
};

Stored f16_stored(float w) {
  // 65520 is where rounding would give infinity.
  const uint16_t bits = std::fabs(w) < 65520.0f ? f32_to_f16(w) : w < 0 ? 0xfbff : 0x7bff;
  return {bits, f16_to_f32(bits)};
}

Stored bf16_stored(float w) {
  uint16_t bits = f32_to_bf16(w);
  if ((bits & 0x7fff) == 0x7f80) bits--;
  return {bits, bf16_to_f32(bits)};
}

}  // namespace

void store_rows(const float* w, int64_t row, int64_t rows, PartBuffers* out, QuantizeStats* stats) {
  const Element type = out->encoding.value_type;
  const size_t size = static_cast<size_t>(element_bits(type) / 8);
  const size_t columns = static_cast<size_t>(out->columns);
  const size_t stride = (columns * size + 63) / 64 * 64;
  for (size_t r = 0; r < static_cast<size_t>(rows); r++) {
    const float* from = w + r * columns;
    std::byte* to = out->planes[0].data() + (static_cast<size_t>(row) + r) * stride;
    double energy = 0;
    for (size_t k = 0; k < columns; k++) {
      energy += static_cast<double>(from[k]) * static_cast<double>(from[k]);
      if (type == Element::f32) continue;
      const Stored stored = type == Element::f16 ? f16_stored(from[k]) : bf16_stored(from[k]);
      const auto bits = static_cast<uint16_t>(stored.bits);
      std::memcpy(to + k * size, &bits, sizeof bits);
      const double error = static_cast<double>(from[k]) - static_cast<double>(stored.value);
      stats->squared_error += error * error;
      stats->saturated += std::fabs(from[k]) > std::fabs(stored.value) &&
                          (bits & 0x7fff) == (type == Element::f16 ? 0x7bff : 0x7f7f);
      stats->underflowed += from[k] != 0 && stored.value == 0;
    }
    if (type == Element::f32) std::memcpy(to, from, columns * size);
    stats->energy += energy;
    stats->zero_rows += energy == 0;
  }
}

}  // namespace sqf

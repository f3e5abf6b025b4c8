#include <cmath>
#include <cstring>

#include "converter/encode.hpp"
#include "format/scalar.hpp"

namespace sqf {
namespace {

struct Stored {
  uint16_t bits;
  float value;
  bool saturated;
};

Stored store_f16(float w) {
  // From 65520 on, rounding would give infinity.
  const bool saturated = std::fabs(w) >= 65520.0f;
  const uint16_t bits = !saturated ? f32_to_f16(w) : w < 0 ? 0xfbff : 0x7bff;
  return {bits, f16_to_f32(bits), saturated};
}

Stored store_bf16(float w) {
  uint16_t bits = f32_to_bf16(w);
  const bool saturated = (bits & 0x7fff) == 0x7f80;
  if (saturated) bits--;
  return {bits, bf16_to_f32(bits), saturated};
}

}  // namespace

void store_rows(const float* w, int64_t row, int64_t rows, PartBuffers* out, QuantizeStats* stats) {
  const Element type = out->encoding.value_type;
  const size_t size = static_cast<size_t>(element_bits(type) / 8);
  const size_t columns = static_cast<size_t>(out->columns);
  const ValueLayout layout(type, out->rows, out->columns);
  for (size_t r = 0; r < static_cast<size_t>(rows); r++) {
    const float* from = w + r * columns;
    double energy = 0;
    for (size_t k = 0; k < columns; k++) {
      energy += static_cast<double>(from[k]) * static_cast<double>(from[k]);
      std::byte* to = out->planes[0].data() +
                      layout.offset(row + static_cast<int64_t>(r), static_cast<int64_t>(k));
      if (type == Element::f32) {
        std::memcpy(to, from + k, size);
        continue;
      }
      const Stored stored = type == Element::f16 ? store_f16(from[k]) : store_bf16(from[k]);
      std::memcpy(to, &stored.bits, size);
      const double error = static_cast<double>(from[k]) - static_cast<double>(stored.value);
      stats->squared_error += error * error;
      stats->saturated += stored.saturated;
      stats->underflowed += from[k] != 0 && stored.value == 0;
    }
    stats->energy += energy;
    stats->zero_rows += energy == 0;
  }
}

}  // namespace sqf

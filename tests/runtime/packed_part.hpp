#pragma once
// A part with random contents that owns its memory, for tests and benchmarks of the kernels.

#include <array>
#include <cstring>
#include <random>
#include <vector>

#include "format/part.hpp"
#include "format/scalar.hpp"
#include "tests/format/packed_planes.hpp"

namespace sqf {

struct PackedPart {
  PartView view;
  std::vector<std::vector<std::byte>> planes;
  std::vector<std::byte> scales, zeros;
  std::vector<float> row_factors;

  int64_t stored_bytes() const {
    size_t bytes = scales.size() + zeros.size() + row_factors.size() * 4;
    for (const auto& plane : planes) bytes += plane.size();
    return static_cast<int64_t>(bytes);
  }
};

namespace packed_part {

template <typename T>
void append(std::vector<std::byte>* out, T value) {
  std::array<std::byte, sizeof(T)> bytes;
  std::memcpy(bytes.data(), &value, sizeof(T));
  out->insert(out->end(), bytes.begin(), bytes.end());
}

inline std::vector<std::byte> scales(Element type, int64_t count, std::mt19937* random) {
  std::vector<std::byte> out;
  std::uniform_real_distribution<float> real(0.001f, 0.02f);
  for (int64_t i = 0; i < count; i++) {
    const float value = real(*random);
    if (type == Element::f32) append(&out, value);
    if (type == Element::f16) append(&out, f32_to_f16(value));
    if (type == Element::bf16) append(&out, f32_to_bf16(value));
    if (type == Element::e8m0) append(&out, static_cast<uint8_t>(115 + (*random)() % 10));
    // Both signs, subnormals too; 0x7f and 0xff are NaN.
    if (type == Element::e4m3)
      append(&out, static_cast<uint8_t>((*random)() % 127 + ((*random)() & 128)));
    if (type == Element::u8) append(&out, static_cast<uint8_t>((*random)() % 256));
  }
  return out;
}

inline std::vector<std::byte> zeros(const EncodingRecord& e, int64_t count, std::mt19937* random) {
  std::vector<std::byte> out;
  std::uniform_real_distribution<float> real(-0.1f, 0.05f);
  if (e.zero == ZeroKind::u4) count /= 2;
  for (int64_t i = 0; i < count; i++) {
    const auto a = (*random)() % code_count(e), b = (*random)() % code_count(e);
    if (e.zero == ZeroKind::u4) append(&out, static_cast<uint8_t>(a | b << 4));
    if (e.zero == ZeroKind::u8) append(&out, static_cast<uint8_t>(a));
    if (e.zero == ZeroKind::minimum_f16) append(&out, f32_to_f16(real(*random)));
  }
  return out;
}

}  // namespace packed_part

/// Codes over their whole range (the ends often); padding as the format wants it.
inline PackedPart random_part(const EncodingRecord& e, int64_t rows, int64_t columns,
                              std::mt19937* random) {
  PackedPart part;
  std::vector<uint8_t> codes(static_cast<size_t>(rows * columns));
  for (uint8_t& code : codes) {
    const auto draw = (*random)();
    code = static_cast<uint8_t>(draw % 8 == 0 ? code_count(e) - 1 : (draw >> 8) % code_count(e));
  }
  part.planes = packed_planes(e, rows, columns, codes, &part.view);
  const int64_t parameters = tiles_of(rows) * kTileRows * grouping(e, columns).count;
  part.scales = packed_part::scales(e.scale_type, parameters, random);
  part.zeros = packed_part::zeros(e, parameters, random);
  part.view.scales = part.scales.data();
  part.view.zeros = part.zeros.data();
  if (e.row_factor) {
    std::uniform_real_distribution<float> real(0.0001f, 0.001f);
    for (int64_t i = 0; i < tiles_of(rows) * kTileRows; i++)
      part.row_factors.push_back(real(*random));
    part.view.row_factors = part.row_factors.data();
  }
  return part;
}

}  // namespace sqf

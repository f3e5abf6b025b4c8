#pragma once
// The bytes of one part while a converter makes them: one buffer per component, sized by the
// shapes of format/encoding.hpp and zero until written. Nothing here knows how to quantize.

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "format/part.hpp"

namespace sqf {

/// The components of one part. Grid real: planes[0] holds the values.
struct PartBuffers {
  EncodingRecord encoding = {};
  int64_t rows = 0, columns = 0;
  std::array<std::vector<std::byte>, kMaxPlanes> planes;
  std::vector<std::byte> scales, row_factors, zeros;  ///< empty where the encoding has none

  /// Valid until a buffer is resized or moved.
  PartView view() const;
};

/// Buffers for [rows, columns], zero-filled. Precondition: a valid encoding, rows and columns > 0.
PartBuffers allocate_part(const EncodingRecord& encoding, int64_t rows, int64_t columns);

}  // namespace sqf

#pragma once
// Code planes that own their memory, for tests and benchmarks that need a part with given codes.

#include <algorithm>
#include <array>
#include <vector>

#include "format/part.hpp"

namespace sqf {

/// The planes of `codes` [rows][columns]; `view` gets encoding, shape and planes.
inline std::vector<std::vector<std::byte>> packed_planes(const EncodingRecord& e, int64_t rows,
                                                         int64_t columns,
                                                         const std::vector<uint8_t>& codes,
                                                         PartView* view) {
  view->encoding = e;
  view->rows = rows;
  view->columns = columns;
  std::vector<std::vector<std::byte>> planes;
  std::array<std::byte*, kMaxPlanes> targets = {};
  for (int i = 0; i < e.plane_count; i++) {
    planes.emplace_back(component_bytes(
        plane_shape(e, i, 1, static_cast<uint64_t>(rows), static_cast<uint64_t>(columns))));
    targets[static_cast<size_t>(i)] = planes.back().data();
    view->planes[static_cast<size_t>(i)] = planes.back().data();
  }
  for (int64_t tile = 0; tile < tiles_of(rows); tile++) {
    std::vector<uint8_t> lanes(static_cast<size_t>(kTileRows * columns));
    const int64_t first = tile * kTileRows;
    for (int64_t row = first; row < std::min<int64_t>(first + kTileRows, rows); row++)
      for (int64_t k = 0; k < columns; k++)
        lanes[static_cast<size_t>(k * kTileRows + row - first)] =
            codes[static_cast<size_t>(row * columns + k)];
    pack_lanes(e, columns, tile, lanes.data(), targets);
  }
  return planes;
}

}  // namespace sqf

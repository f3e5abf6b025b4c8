#include "converter/part_buffers.hpp"

namespace sqf {

PartView PartBuffers::view() const {
  PartView view;
  view.encoding = encoding;
  view.rows = rows;
  view.columns = columns;
  for (size_t i = 0; i < planes.size(); i++)
    view.planes[i] = planes[i].empty() ? nullptr : planes[i].data();
  if (!scales.empty()) view.scales = scales.data();
  // Vectors of bytes come from operator new, so a float may stand at their start.
  if (!row_factors.empty()) view.row_factors = reinterpret_cast<const float*>(row_factors.data());
  if (!zeros.empty()) view.zeros = zeros.data();
  return view;
}

PartBuffers allocate_part(const EncodingRecord& encoding, int64_t rows, int64_t columns) {
  const uint64_t n = static_cast<uint64_t>(rows), k = static_cast<uint64_t>(columns);
  PartBuffers part;
  part.encoding = encoding;
  part.rows = rows;
  part.columns = columns;
  if (encoding.grid == Grid::real) {
    part.planes[0].resize(component_bytes(plane_shape(encoding, 0, 1, n, k)));
    return part;
  }
  for (int i = 0; i < encoding.plane_count; i++)
    part.planes[static_cast<size_t>(i)].resize(component_bytes(plane_shape(encoding, i, 1, n, k)));
  part.scales.resize(component_bytes(scale_shape(encoding, 1, n, k)));
  part.zeros.resize(component_bytes(zero_shape(encoding, 1, n, k)));
  if (encoding.row_factor) part.row_factors.resize(component_bytes(row_factor_shape(1, n)));
  return part;
}

}  // namespace sqf

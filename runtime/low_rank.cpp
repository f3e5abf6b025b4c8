#include "runtime/low_rank.hpp"

#include <algorithm>

#include "runtime/cpu/matmul.hpp"

namespace sqf {
namespace {

int64_t row_bytes(int64_t columns, int64_t width) {
  return (columns * width + 63) / 64 * 64;
}

PartView real_view(Element type, const std::byte* values, int64_t rows, int64_t columns) {
  PartView view;
  view.encoding = real_encoding(type);
  view.rows = rows;
  view.columns = columns;
  view.planes[0] = values;
  return view;
}

}  // namespace

void multiply_factor(Isa isa, const LowRankFactor& f, const float* x, int64_t tokens, Slice slice,
                     float* y, int64_t stride) {
  if (f.scales == nullptr) {
    const std::byte* values = f.values + slice.begin * row_bytes(f.columns, 2);
    const PartView view = real_view(Element::f16, values, slice.end - slice.begin, f.columns);
    matmul_f32(isa, view, x, tokens, f.columns, 0, tiles_of(view.rows), y + slice.begin, stride);
    return;
  }
  // A tile of rows at a time is widened, so that all tokens share the work.
  thread_local AlignedBuffer scratch;
  const int64_t wide = row_bytes(f.columns, 4), narrow = row_bytes(f.columns, 1);
  std::byte* values = scratch.reserve(kTileRows * wide);
  for (int64_t first = slice.begin; first < slice.end; first += kTileRows) {
    const int64_t rows = std::min<int64_t>(kTileRows, slice.end - first);
    for (int64_t row = 0; row < rows; row++) {
      const auto* from = reinterpret_cast<const int8_t*>(f.values + (first + row) * narrow);
      auto* to = reinterpret_cast<float*>(values + row * wide);
      for (int64_t k = 0; k < f.columns; k++) to[k] = static_cast<float>(from[k]);
    }
    matmul_f32(isa, real_view(Element::f32, values, rows, f.columns), x, tokens, f.columns, 0, 1,
               y + first, stride);
    for (int64_t t = 0; t < tokens; t++)
      for (int64_t row = first; row < first + rows; row++) y[t * stride + row] *= f.scales[row];
  }
}

}  // namespace sqf

// sqcheck info --ranges: what the stored numbers amount to, by decoding every one of them.

#include <algorithm>
#include <cmath>
#include <limits>

#include "apps/report.hpp"
#include "apps/sqcheck.hpp"

namespace sqf {
namespace {

/// Adds numbers up, in f64; those that are not finite are counted only.
struct Tally {
  double low = std::numeric_limits<double>::infinity(), high = -low, sum_abs = 0;
  uint64_t count = 0, zeros = 0, non_finite = 0;

  void add(float value) {
    if (!std::isfinite(value)) {
      non_finite++;
      return;
    }
    const auto v = static_cast<double>(value);
    low = std::min(low, v);
    high = std::max(high, v);
    sum_abs += std::abs(v);
    zeros += value == 0 ? 1 : 0;
    count++;
  }
};

/// One matrix of one part. False: interrupted.
bool add_matrix(const PartView& part, std::vector<float>& tile, Tally& values, Tally& scales) {
  const int64_t groups = grouping(part.encoding, part.columns).count;
  tile.resize(static_cast<size_t>(kTileRows * part.columns));
  for (int64_t t = 0; t < tiles_of(part.rows); t++) {
    if (interrupted()) return false;
    const int64_t rows = std::min<int64_t>(kTileRows, part.rows - t * kTileRows);
    decode_tile(part, t, tile.data());
    for (int64_t i = 0; i < rows * part.columns; i++) values.add(tile[static_cast<size_t>(i)]);
    if (part.encoding.grid == Grid::real) continue;
    for (int64_t row = 0; row < rows; row++)
      for (int64_t g = 0; g < groups; g++)
        scales.add(group_parameters(part, t * kTileRows + row, g).scale);
  }
  return true;
}

Ranges ranges_of(const Tally& values, const Tally& scales) {
  Ranges r;
  r.non_finite = values.non_finite;
  if (values.count > 0) {
    r.low = values.low;
    r.high = values.high;
    r.mean_abs = values.sum_abs / static_cast<double>(values.count);
    r.zeros = static_cast<double>(values.zeros) / static_cast<double>(values.count);
  }
  r.has_scales = scales.count > 0;
  if (r.has_scales) {
    r.scale_low = scales.low;
    r.scale_high = scales.high;
  }
  return r;
}

}  // namespace

std::vector<Ranges> read_ranges(const ModelFile& file, bool progress) {
  const Directory& d = file.head().directory;
  const FileBytes total = file_bytes(file.head());
  std::vector<Ranges> out;
  std::vector<float> tile;
  ProgressBar bar(progress);
  uint64_t done = 0;
  for (size_t i = 0; i < file.tensor_count(); i++) {
    const TensorView tensor = file.tensor(i);
    Tally values, scales;
    for (uint32_t p = 0; p < tensor.record->part_count; p++)
      for (uint64_t expert = 0; expert < tensor.shape.experts; expert++)
        if (!add_matrix(file.part(tensor, p, expert), tile, values, scales)) return {};
    out.push_back(ranges_of(values, scales));
    done += stored_bytes(d, *tensor.record);
    bar.show(done, total.tensors, shown(tensor.name));
  }
  return out;
}

}  // namespace sqf

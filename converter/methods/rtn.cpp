// Round to nearest: each weight to the nearest code of its group's range, by itself.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

#include "converter/encode.hpp"
#include "converter/methods/range.hpp"
#include "converter/methods/tile_store.hpp"

namespace sqf {
namespace {

/// Weights of one tile as [column][16 rows], rows past the last 0.
void transpose(const float* w, int64_t rows, int64_t columns, float* x) {
  constexpr int64_t kStep = 16;  // columns at a time, so that what is written stays in L1
  for (int64_t first = 0; first < columns; first += kStep) {
    const int64_t end = std::min(first + kStep, columns);
    for (int64_t row = 0; row < kTileRows; row++)
      for (int64_t k = first; k < end; k++)
        x[k * kTileRows + row] = row < rows ? w[row * columns + k] : 0;
  }
}

double energy_of(const float* x, int64_t size, size_t lane) {
  double energy = 0;
  for (int64_t k = 0; k < size; k++) {
    const double w = x[static_cast<size_t>(k) * kTileRows + lane];
    energy += w * w;
  }
  return energy;
}

}  // namespace

void QuantizeStats::add(const QuantizeStats& other) {
  squared_error += other.squared_error;
  energy += other.energy;
  zero_rows += other.zero_rows;
  saturated += other.saturated;
  underflowed += other.underflowed;
}

void quantize_tile(const float* w, int64_t tile, int64_t real_rows, const QuantizeOptions& options,
                   PartBuffers* out, QuantizeStats* stats) {
  const EncodingRecord& encoding = out->encoding;
  const int64_t columns = out->columns;
  const RangeRules rules = range_rules(encoding);
  const Grouping groups = grouping(encoding, columns);
  const LaneKernels& kernels = lane_kernels().back();
  const bool search = options.range == Range::search;

  const auto x = std::make_unique_for_overwrite<float[]>(static_cast<size_t>(columns * kTileRows));
  transpose(w, real_rows, columns, x.get());
  std::vector<float> ones;
  const float* weight = options.importance;
  if (search && weight == nullptr) {
    ones.assign(static_cast<size_t>(columns), 1.0f);
    weight = ones.data();
  }
  const auto group_at = [&](int64_t group) {
    const int64_t begin = groups.begin(group);
    return LaneGroup{&kernels, x.get() + begin * kTileRows, search ? weight + begin : nullptr,
                     groups.size(group)};
  };

  std::vector<LaneGrid> plain(static_cast<size_t>(groups.count)), wanted;
  if (search) wanted.resize(plain.size());
  Lanes largest;
  for (int64_t i = 0; i < groups.count; i++) {
    const size_t at = static_cast<size_t>(i);
    plain[at] = plain_range(rules, group_at(i));
    if (search) wanted[at] = search_range(rules, group_at(i), plain[at]);
    const LaneGrid& grid = search ? wanted[at] : plain[at];
    for (size_t lane = 0; lane < kTileRows; lane++)
      largest[lane] = std::max(largest[lane], std::fabs(grid.scale[lane]));
  }
  const Lanes factors = row_factors(rules, largest);
  TileStore store(tile, real_rows, out);
  if (encoding.row_factor) store.row_factors(factors);

  std::array<double, kTileRows> energy = {};
  const auto codes =
      std::make_unique_for_overwrite<uint8_t[]>(static_cast<size_t>(columns * kTileRows));
  for (int64_t i = 0; i < groups.count; i++) {
    const size_t at = static_cast<size_t>(i);
    const LaneGroup group = group_at(i);
    const StoredGroup stored = search ? store_searched(rules, group, plain[at], wanted[at], factors)
                                      : store_plain(rules, plain[at], factors);
    store.parameters(i, stored);
    LaneLoss loss;
    kernels.encode(group.x, group.size, stored.grid, codes.get() + groups.begin(i) * kTileRows,
                   &loss);
    for (size_t lane = 0; lane < static_cast<size_t>(real_rows); lane++) {
      const double unit = static_cast<double>(stored.grid.scale[lane]) *
                          static_cast<double>(stored.grid.scale[lane]);
      // A group on scale 0 is constant, or its weights are too small and were lost.
      const double there =
          unit > 0 ? loss.energy[lane] * unit : energy_of(group.x, group.size, lane);
      energy[lane] += there;
      stats->squared_error += stored.underflowed[lane] ? there : loss.error[lane] * unit;
      stats->saturated += stored.saturated[lane];
      stats->underflowed += stored.underflowed[lane];
    }
  }
  for (size_t lane = 0; lane < static_cast<size_t>(real_rows); lane++) {
    stats->energy += energy[lane];
    stats->zero_rows += energy[lane] == 0;
  }
  store.codes(codes.get());
}

}  // namespace sqf

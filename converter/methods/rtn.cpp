// Round to nearest: each weight to the nearest code of its group's range, by itself.
#include <algorithm>
#include <cfloat>
#include <cmath>
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

/// One tile's weights and how they fall into groups.
struct Tile {
  RangeRules rules;
  Grouping groups;
  const LaneKernels* kernels;
  std::unique_ptr<float[]> x;  ///< [columns][16]
  std::vector<float> weight;   ///< [columns]; empty for the plain range

  LaneGroup group(size_t index) const {
    const int64_t begin = groups.begin(static_cast<int64_t>(index));
    LaneGroup group = {kernels, x.get() + begin * kTileRows, nullptr,
                       groups.size(static_cast<int64_t>(index)), 0};
    if (weight.empty()) return group;
    group.weight = weight.data() + begin;
    for (int64_t k = 0; k < group.size; k++) group.weight_sum += group.weight[k];
    return group;
  }
};

/// Its groups as stored.
struct StoredTile {
  std::vector<StoredGroup> groups;
  Lanes factors;
};

Lanes largest_scales(const std::vector<LaneGrid>& grids) {
  Lanes largest;
  for (const LaneGrid& grid : grids)
    for (size_t lane = 0; lane < kTileRows; lane++)
      largest[lane] = std::max(largest[lane], std::fabs(grid.scale[lane]));
  return largest;
}

void copy_lane(const StoredGroup& from, size_t lane, StoredGroup* to) {
  to->grid.scale[lane] = from.grid.scale[lane];
  to->grid.zero[lane] = from.grid.zero[lane];
  to->grid.minimum[lane] = from.grid.minimum[lane];
  to->scale_bits[lane] = from.scale_bits[lane];
  to->minimum_bits[lane] = from.minimum_bits[lane];
  to->saturated[lane] = from.saturated[lane];
  to->underflowed[lane] = from.underflowed[lane];
}

StoredTile plain_tile(const Tile& tile) {
  std::vector<LaneGrid> plain;
  for (size_t i = 0; i < static_cast<size_t>(tile.groups.count); i++)
    plain.push_back(plain_range(tile.rules, tile.group(i)));
  StoredTile stored;
  stored.factors = row_factors(tile.rules, largest_scales(plain));
  for (const LaneGrid& grid : plain)
    stored.groups.push_back(store_plain(tile.rules, grid, stored.factors));
  return stored;
}

StoredTile searched_tile(const Tile& tile) {
  std::vector<LaneGrid> plain, wanted;
  for (size_t i = 0; i < static_cast<size_t>(tile.groups.count); i++) {
    plain.push_back(plain_range(tile.rules, tile.group(i)));
    wanted.push_back(search_range(tile.rules, tile.group(i), plain.back()));
  }
  // Each row takes the factor with which all its groups together lose least.
  std::vector<Lanes> choices;
  const Lanes factors = row_factors(tile.rules, largest_scales(wanted));
  for (const float multiple : factor_choices(tile.rules)) {
    choices.push_back(factors);
    for (float& factor : choices.back().at) factor *= multiple;
  }
  if (choices.size() > 1 || (tile.rules.levels && tile.rules.row_factor))
    choices.push_back(row_factors(tile.rules, largest_scales(plain)));

  StoredTile best;
  std::array<double, kTileRows> least;
  for (const Lanes& choice : choices) {
    std::vector<StoredGroup> groups;
    std::array<double, kTileRows> error = {};
    for (size_t i = 0; i < plain.size(); i++) {
      groups.push_back(store_searched(tile.rules, tile.group(i), plain[i], wanted[i], choice));
      for (size_t lane = 0; lane < kTileRows; lane++) {
        const double unit = plain[i].scale[lane];
        error[lane] += static_cast<double>(groups[i].error[lane]) * unit * unit;
      }
    }
    if (best.groups.empty()) {
      best = {std::move(groups), choice};
      least = error;
      continue;
    }
    for (size_t lane = 0; lane < kTileRows; lane++) {
      if (!(error[lane] < least[lane])) continue;
      least[lane] = error[lane];
      best.factors[lane] = choice[lane];
      for (size_t i = 0; i < groups.size(); i++) copy_lane(groups[i], lane, &best.groups[i]);
    }
  }
  return best;
}

struct Loss {
  double error = 0, energy = 0;
};

/// Of one group in one row. The kernel's sums are in units of the scale, which is too small for
/// them where it is 0 or was clamped far below the weights: those are summed again, slowly.
Loss loss_of(const LaneGroup& group, const LaneGrid& grid, const uint8_t* codes, size_t lane,
             const LaneLoss& sums) {
  const double scale = grid.scale[lane];
  const double divisor = grid.levels != nullptr ? scale * grid.levels->unit : scale;
  const double unit = divisor * divisor;
  if (sums.energy[lane] > 0 && sums.energy[lane] <= FLT_MAX && sums.error[lane] <= FLT_MAX)
    return {sums.error[lane] * unit, sums.energy[lane] * unit};
  Loss loss;
  for (size_t k = 0; k < static_cast<size_t>(group.size); k++) {
    const double w = group.x[k * kTileRows + lane];
    const uint8_t code = codes[k * kTileRows + lane];
    const double level = grid.levels != nullptr ? grid.levels->values[code]
                                                : static_cast<double>(code) - grid.zero[lane];
    const double off = w - (scale * level + grid.minimum[lane]);
    loss.error += off * off;
    loss.energy += w * w;
  }
  return loss;
}

}  // namespace

void QuantizeStats::add(const QuantizeStats& other) {
  squared_error += other.squared_error;
  energy += other.energy;
  zero_rows += other.zero_rows;
  saturated += other.saturated;
  underflowed += other.underflowed;
  lifted_zeros += other.lifted_zeros;
}

void quantize_tile(const float* w, int64_t tile_index, int64_t real_rows,
                   const QuantizeOptions& options, PartBuffers* out, QuantizeStats* stats) {
  const int64_t columns = out->columns;
  const size_t lanes = static_cast<size_t>(columns * kTileRows);
  Tile tile = {range_rules(out->encoding),
               grouping(out->encoding, columns),
               nullptr,
               std::make_unique_for_overwrite<float[]>(lanes),
               {}};
  tile.kernels = &(tile.rules.levels ? lane_kernels(*tile.rules.levels) : lane_kernels()).back();
  transpose(w, real_rows, columns, tile.x.get());
  const bool search = options.range == Range::search;
  if (search && options.importance != nullptr)
    tile.weight.assign(options.importance, options.importance + columns);
  else if (search)
    tile.weight.assign(static_cast<size_t>(columns), 1.0f);
  const StoredTile stored = search ? searched_tile(tile) : plain_tile(tile);

  TileStore store(tile_index, real_rows, out);
  if (tile.rules.row_factor) store.row_factors(stored.factors);
  const auto codes = std::make_unique_for_overwrite<uint8_t[]>(lanes);
  std::array<double, kTileRows> energy = {};
  for (size_t i = 0; i < stored.groups.size(); i++) {
    const LaneGroup group = tile.group(i);
    const StoredGroup& parameters = stored.groups[i];
    store.parameters(static_cast<int64_t>(i), parameters);
    uint8_t* const group_codes =
        codes.get() + tile.groups.begin(static_cast<int64_t>(i)) * kTileRows;
    LaneLoss sums;
    group.kernels->encode(group.x, group.size, parameters.grid, group_codes, &sums);
    for (size_t lane = 0; lane < static_cast<size_t>(real_rows); lane++) {
      const Loss loss = loss_of(group, parameters.grid, group_codes, lane, sums);
      energy[lane] += loss.energy;
      stats->squared_error += loss.error;
      stats->saturated += parameters.saturated[lane];
      stats->underflowed += loss.energy > 0 && parameters.underflowed[lane];
      stats->lifted_zeros += loss.energy == 0 && parameters.lifted[lane];
    }
  }
  store.codes(codes.get());
  for (size_t lane = 0; lane < static_cast<size_t>(real_rows); lane++) {
    stats->energy += energy[lane];
    stats->zero_rows += energy[lane] == 0;
  }
}

}  // namespace sqf

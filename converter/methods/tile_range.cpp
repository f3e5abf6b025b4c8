#include "converter/methods/tile_range.hpp"

#include <algorithm>
#include <array>
#include <cfloat>
#include <cmath>
#include <utility>

namespace sqf {
namespace {

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
  to->clipped_error[lane] = from.clipped_error[lane];
  to->clipped[lane] = from.clipped[lane];
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

/// Factors for the scales wanted, and multiples of them.
std::vector<Lanes> factors_to_try(const RangeRules& rules, const std::vector<LaneGrid>& wanted) {
  std::vector<Lanes> choices;
  const Lanes factors = row_factors(rules, largest_scales(wanted));
  for (const float multiple : factor_choices(rules)) {
    choices.push_back(factors);
    for (float& factor : choices.back().at) factor *= multiple;
  }
  return choices;
}

/// Each row takes the factor with which its groups together lose least, of those with which none
/// of them loses more than unclipped.
StoredTile clipped_tile(const Tile& tile) {
  std::vector<LaneGrid> plain, wanted;
  for (size_t i = 0; i < static_cast<size_t>(tile.groups.count); i++) {
    plain.push_back(plain_range(tile.rules, tile.group(i)));
    wanted.push_back(clip_range(tile.rules, tile.group(i), plain.back()));
  }
  StoredTile best;
  best.factors = row_factors(tile.rules, largest_scales(plain));
  std::array<double, kTileRows> least = {};
  for (size_t i = 0; i < plain.size(); i++) {
    best.groups.push_back(
        store_clipped(tile.rules, tile.group(i), plain[i], wanted[i], best.factors));
    for (size_t lane = 0; lane < kTileRows; lane++)
      least[lane] += best.groups[i].clipped_error[lane];
  }
  if (!tile.rules.row_factor) return best;
  for (const Lanes& choice : factors_to_try(tile.rules, wanted)) {
    std::vector<StoredGroup> groups;
    std::array<double, kTileRows> error = {};
    std::array<bool, kTileRows> worse = {};
    for (size_t i = 0; i < plain.size(); i++) {
      groups.push_back(store_clipped(tile.rules, tile.group(i), plain[i], wanted[i], choice));
      for (size_t lane = 0; lane < kTileRows; lane++) {
        error[lane] += groups[i].clipped_error[lane];
        worse[lane] |= groups[i].clipped_error[lane] > best.groups[i].unclipped_error[lane];
      }
    }
    for (size_t lane = 0; lane < kTileRows; lane++) {
      if (worse[lane] || !(error[lane] < least[lane])) continue;
      least[lane] = error[lane];
      best.factors[lane] = choice[lane];
      for (size_t i = 0; i < groups.size(); i++) copy_lane(groups[i], lane, &best.groups[i]);
    }
  }
  return best;
}

StoredTile searched_tile(const Tile& tile) {
  std::vector<LaneGrid> plain, wanted;
  for (size_t i = 0; i < static_cast<size_t>(tile.groups.count); i++) {
    plain.push_back(plain_range(tile.rules, tile.group(i)));
    wanted.push_back(search_range(tile.rules, tile.group(i), plain.back()));
  }
  // Each row takes the factor with which all its groups together lose least.
  std::vector<Lanes> choices = factors_to_try(tile.rules, wanted);
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

}  // namespace

Tile::Tile(const EncodingRecord& encoding, int64_t columns, const QuantizeOptions& options)
    : rules(range_rules(encoding)),
      groups(grouping(encoding, columns)),
      kernels(&(rules.levels ? lane_kernels(*rules.levels) : lane_kernels()).back()),
      range(options.range == Range::clip && options.grams == nullptr ? Range::search
                                                                     : options.range),
      grams(range == Range::clip ? options.grams : nullptr),
      x(std::make_unique_for_overwrite<float[]>(static_cast<size_t>(columns * kTileRows))) {
  if (range == Range::search && options.importance != nullptr)
    weight.assign(options.importance, options.importance + columns);
  else if (range == Range::search)
    weight.assign(static_cast<size_t>(columns), 1.0f);
  if (grams == nullptr) return;
  // What a column weighs by itself.
  const float* gram = grams;
  for (int64_t i = 0; i < groups.count; gram += groups.size(i) * groups.size(i), i++)
    for (int64_t k = 0; k < groups.size(i); k++)
      weight.push_back(std::max(gram[k * (groups.size(i) + 1)], FLT_MIN));
}

LaneGroup Tile::group(size_t index) const {
  const int64_t begin = groups.begin(static_cast<int64_t>(index));
  LaneGroup group = {kernels, x.get() + begin * kTileRows,
                     nullptr, groups.size(static_cast<int64_t>(index)),
                     0,       nullptr};
  if (grams != nullptr) group.gram = grams + begin * groups.length;
  if (weight.empty()) return group;
  group.weight = weight.data() + begin;
  for (int64_t k = 0; k < group.size; k++) group.weight_sum += group.weight[k];
  return group;
}

void transpose(const float* w, int64_t rows, int64_t columns, float* x) {
  constexpr int64_t kColumnsAtOnce = 16;  // so that what is written stays in L1
  for (int64_t first = 0; first < columns; first += kColumnsAtOnce) {
    const int64_t end = std::min(first + kColumnsAtOnce, columns);
    for (int64_t row = 0; row < kTileRows; row++)
      for (int64_t k = first; k < end; k++)
        x[k * kTileRows + row] = row < rows ? w[row * columns + k] : 0;
  }
}

StoredTile store_ranges(const Tile& tile) {
  if (tile.range == Range::clip) return clipped_tile(tile);
  return tile.range == Range::search ? searched_tile(tile) : plain_tile(tile);
}

StoredGroup store_range(const Tile& tile, const LaneGroup& group, const Lanes& factors) {
  const LaneGrid plain = plain_range(tile.rules, group);
  if (tile.range == Range::minmax) return store_plain(tile.rules, plain, factors);
  if (tile.range == Range::clip)
    return store_clipped(tile.rules, group, plain, clip_range(tile.rules, group, plain), factors);
  return store_searched(tile.rules, group, plain, search_range(tile.rules, group, plain), factors);
}

Loss loss_of(const LaneGroup& group, const LaneGrid& grid, const uint8_t* codes, size_t lane) {
  const double scale = grid.scale[lane];
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

void count_group(const StoredGroup& stored, size_t lane, const Loss& loss, QuantizeStats* stats) {
  stats->squared_error += loss.error;
  stats->saturated += stored.saturated[lane];
  stats->underflowed += loss.energy > 0 && stored.underflowed[lane];
  stats->lifted_zeros += loss.energy == 0 && stored.lifted[lane];
  stats->unclipped_error += stored.unclipped_error[lane];
  stats->clipped_error += stored.clipped_error[lane];
  stats->clipped += stored.clipped[lane];
}

}  // namespace sqf

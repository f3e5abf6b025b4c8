// Round to nearest: each weight to the nearest code of its group's range, by itself.
#include <cfloat>
#include <memory>

#include "converter/encode.hpp"
#include "converter/methods/tile_range.hpp"
#include "converter/methods/tile_store.hpp"

namespace sqf {
namespace {

/// The kernel's sums are in units of the scale, which is too small for them where it is 0 or was
/// clamped far below the weights: those are summed again, slowly.
Loss loss_of_sums(const LaneGroup& group, const LaneGrid& grid, const uint8_t* codes, size_t lane,
                  const LaneLoss& sums) {
  const double scale = grid.scale[lane];
  const double divisor = grid.levels != nullptr ? scale * grid.levels->unit : scale;
  const double unit = divisor * divisor;
  if (sums.energy[lane] > 0 && sums.energy[lane] <= FLT_MAX && sums.error[lane] <= FLT_MAX)
    return {sums.error[lane] * unit, sums.energy[lane] * unit};
  return loss_of(group, grid, codes, lane);
}

}  // namespace

void QuantizeStats::add(const QuantizeStats& other) {
  squared_error += other.squared_error;
  energy += other.energy;
  zero_rows += other.zero_rows;
  saturated += other.saturated;
  underflowed += other.underflowed;
  lifted_zeros += other.lifted_zeros;
  unclipped_error += other.unclipped_error;
  clipped_error += other.clipped_error;
  clipped += other.clipped;
}

void quantize_tile(const float* w, int64_t tile_index, int64_t real_rows,
                   const QuantizeOptions& options, PartBuffers* out, QuantizeStats* stats) {
  const int64_t columns = out->columns;
  Tile tile(out->encoding, columns, options);
  transpose(w, real_rows, columns, tile.x.get());
  const StoredTile stored = store_ranges(tile);

  TileStore store(tile_index, real_rows, out);
  if (tile.rules.row_factor) store.row_factors(stored.factors);
  const auto codes =
      std::make_unique_for_overwrite<uint8_t[]>(static_cast<size_t>(columns * kTileRows));
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
      const Loss loss = loss_of_sums(group, parameters.grid, group_codes, lane, sums);
      energy[lane] += loss.energy;
      count_group(parameters, lane, loss, stats);
    }
  }
  store.codes(codes.get());
  for (size_t lane = 0; lane < static_cast<size_t>(real_rows); lane++) {
    stats->energy += energy[lane];
    stats->zero_rows += energy[lane] == 0;
  }
}

}  // namespace sqf

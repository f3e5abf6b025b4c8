#include "converter/methods/gptq.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <memory>

#include "converter/methods/gptq_spread.hpp"
#include "converter/methods/tile_range.hpp"
#include "converter/methods/tile_store.hpp"

namespace sqf {
namespace {

constexpr int64_t kBlock = 128;  // columns whose errors wait to be spread over all that follow

std::unique_ptr<float[]> lanes_of(int64_t columns) {
  return std::make_unique_for_overwrite<float[]>(static_cast<size_t>(columns * kTileRows));
}

void copy_column(const float* from, int64_t column, float* to, int64_t to_column) {
  std::memcpy(to + to_column * kTileRows, from + column * kTileRows, kTileRows * sizeof(float));
}

/// Steps against the columns of the part.
struct Steps {
  std::vector<int64_t> part;  ///< [K - kept] column of the part that each step rounds
  bool natural;
};

Steps steps_of(const GptqInput& input) {
  const size_t rounded = static_cast<size_t>(input.columns - input.kept);
  std::vector<int64_t> part_of(static_cast<size_t>(input.columns), 1);
  for (size_t i = rounded; i < input.order.size(); i++) part_of[input.order[i]] = 0;
  int64_t next = 0;
  for (int64_t& column : part_of) {
    const bool there = column != 0;
    column = next;
    next += there;
  }
  Steps steps;
  for (size_t i = 0; i < rounded; i++) steps.part.push_back(part_of[input.order[i]]);
  steps.natural = std::ranges::is_sorted(steps.part);
  return steps;
}

/// One tile on its way.
struct Rounding {
  const GptqInput& input;
  const Steps& steps;
  const Tile& tile;
  StoredTile stored;
  std::unique_ptr<float[]> x;                        ///< [K][16] by step: what is left to round
  std::unique_ptr<uint8_t[]> codes;                  ///< [K - kept][16] by column of the part
  std::array<float, kBlock* kTileRows> errors = {};  ///< of the block's steps, over U's diagonal

  /// Where errors took a weight beyond f32, the weight as it was.
  void settle(int64_t step, const float* original) {
    for (int64_t lane = 0; lane < kTileRows; lane++) {
      float& value = x[static_cast<size_t>(step * kTileRows + lane)];
      if (!std::isfinite(value)) value = original[lane];
    }
  }

  /// The range of a group that begins, of what errors so far have made of it; natural order only.
  void begin_group(int64_t index) {
    LaneGroup group = tile.group(static_cast<size_t>(index));
    const int64_t begin = tile.groups.begin(index);
    for (int64_t k = 0; k < group.size; k++) settle(begin + k, group.x + k * kTileRows);
    group.x = x.get() + begin * kTileRows;
    stored.groups[static_cast<size_t>(index)] = store_range(tile, group, stored.factors);
  }

  void round_step(int64_t step, float* error) {
    const int64_t column = steps.part[static_cast<size_t>(step)];
    const LaneGrid& grid = stored.groups[static_cast<size_t>(column / tile.groups.length)].grid;
    const float* const from = x.get() + step * kTileRows;
    uint8_t* const code = codes.get() + column * kTileRows;
    LaneLoss unused;
    tile.kernels->encode(from, 1, grid, code, &unused);
    const float diagonal = input.upper[static_cast<size_t>(step * (input.columns + 1))];
    for (size_t lane = 0; lane < kTileRows; lane++) {
      const float level = grid.levels != nullptr ? grid.levels->values[code[lane]]
                                                 : static_cast<float>(code[lane]) - grid.zero[lane];
      const float decoded = grid.scale[lane] * level + grid.minimum[lane];
      const float off = (from[lane] - decoded) / diagonal;
      error[lane] = std::isfinite(off) ? off : 0;
    }
  }

  /// A block's end: never within a group that a block holds whole, so that ranges see every error.
  int64_t block_end(int64_t first) const {
    const int64_t rounded = tile.groups.columns, end = std::min(first + kBlock, rounded);
    if (!steps.natural || end == rounded) return end;
    const int64_t group_begin = end / tile.groups.length * tile.groups.length;
    return group_begin > first ? group_begin : end;
  }

  void run() {
    const int64_t stride = input.columns;
    for (int64_t first = 0, end = 0; first < tile.groups.columns; first = end) {
      end = block_end(first);
      for (int64_t step = first; step < end; step++) {
        if (steps.natural && step % tile.groups.length == 0) begin_group(step / tile.groups.length);
        float* const error = errors.data() + (step - first) * kTileRows;
        round_step(step, error);
        spread({error, 1, input.upper.data() + step * stride, stride, step + 1, end, x.get()});
      }
      spread({errors.data(), end - first, input.upper.data() + first * stride, stride, end, stride,
              x.get()});
    }
  }
};

void store_tile(Rounding* rounding, int64_t tile_index, int64_t real_rows, PartBuffers* out,
                QuantizeStats* stats) {
  const Tile& tile = rounding->tile;
  const StoredTile& stored = rounding->stored;
  TileStore store(tile_index, real_rows, out);
  if (tile.rules.row_factor) store.row_factors(stored.factors);
  std::array<double, kTileRows> energy = {};
  for (size_t i = 0; i < stored.groups.size(); i++) {
    const LaneGroup group = tile.group(i);
    store.parameters(static_cast<int64_t>(i), stored.groups[i]);
    const uint8_t* const codes =
        rounding->codes.get() + tile.groups.begin(static_cast<int64_t>(i)) * kTileRows;
    for (size_t lane = 0; lane < static_cast<size_t>(real_rows); lane++) {
      const Loss loss = loss_of(group, stored.groups[i].grid, codes, lane);
      energy[lane] += loss.energy;
      count_group(stored.groups[i], lane, loss, stats);
    }
  }
  store.codes(rounding->codes.get());
  for (size_t lane = 0; lane < static_cast<size_t>(real_rows); lane++) {
    stats->energy += energy[lane];
    stats->zero_rows += energy[lane] == 0;
  }
}

}  // namespace

void gptq_tile(const float* w, int64_t tile_index, int64_t real_rows, const GptqInput& input,
               const QuantizeOptions& options, PartBuffers* out, float* kept_out,
               QuantizeStats* stats) {
  const int64_t rounded = input.columns - input.kept;
  const Steps steps = steps_of(input);
  Tile tile(out->encoding, rounded, options);
  const auto original = lanes_of(input.columns);
  transpose(w, real_rows, input.columns, original.get());
  Rounding rounding = {
      input,
      steps,
      tile,
      {},
      lanes_of(input.columns),
      std::make_unique_for_overwrite<uint8_t[]>(static_cast<size_t>(rounded * kTileRows))};
  for (int64_t step = 0; step < input.columns; step++) {
    const int64_t column = input.order[static_cast<size_t>(step)];
    copy_column(original.get(), column, rounding.x.get(), step);
    if (step < rounded)
      copy_column(original.get(), column, tile.x.get(), steps.part[static_cast<size_t>(step)]);
  }
  if (!steps.natural || tile.rules.row_factor) {
    rounding.stored = store_ranges(tile);
  } else {
    rounding.stored.factors = row_factors(tile.rules, Lanes{});
    rounding.stored.groups.resize(static_cast<size_t>(tile.groups.count));
  }
  rounding.run();
  store_tile(&rounding, tile_index, real_rows, out, stats);
  for (int64_t i = 0; i < input.kept; i++) {
    const int64_t step = rounded + i;
    rounding.settle(step, original.get() + input.order[static_cast<size_t>(step)] * kTileRows);
    for (int64_t row = 0; row < real_rows; row++)
      kept_out[row * input.kept + i] = rounding.x[static_cast<size_t>(step * kTileRows + row)];
  }
}

}  // namespace sqf

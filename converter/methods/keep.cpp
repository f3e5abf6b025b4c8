// Codes and scales of a source that is quantized already, moved as they are.
#include <memory>

#include "converter/encode.hpp"
#include "converter/methods/tile_store.hpp"

namespace sqf {

void keep_tile(std::span<const KeptGroup> groups, int64_t tile, int64_t rows, PartBuffers* out) {
  constexpr int64_t kColumns = std::size(KeptGroup{}.codes);
  const auto count = static_cast<size_t>(out->columns / kColumns);
  const auto codes = std::make_unique<uint8_t[]>(static_cast<size_t>(out->columns * kTileRows));
  TileStore store(tile, rows, out);
  for (size_t i = 0; i < count; i++) {
    StoredGroup stored;
    for (size_t row = 0; row < static_cast<size_t>(rows); row++) {
      const KeptGroup& group = groups[row * count + i];
      stored.scale_bits[row] = group.scale;
      stored.minimum_bits[row] = group.minimum;
      for (size_t k = 0; k < kColumns; k++)
        codes[(i * kColumns + k) * kTileRows + row] = group.codes[k];
    }
    store.parameters(static_cast<int64_t>(i), stored);
  }
  store.codes(codes.get());
}

}  // namespace sqf

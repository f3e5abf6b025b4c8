// GGUF blocks carried over: 32 columns with an f16 scale are a group of 32 here, so codes and
// scales move as they are and decode to the very same values.
#include <memory>

#include "converter/encode.hpp"
#include "converter/methods/tile_store.hpp"
#include "format/scalar.hpp"

namespace sqf {
namespace {

constexpr int64_t kBlockColumns = 32;

/// Codes of one block to `codes` [32][16], lane 0 at its start.
void put_codes(BlockType type, const std::byte* block, uint8_t* codes) {
  const std::byte* data = block + (type == BlockType::q4_1 ? 4 : 2);
  if (type == BlockType::q8_0) {
    // Two's complement to offset binary: -128 is code 0.
    for (int64_t i = 0; i < kBlockColumns; i++)
      codes[i * kTileRows] = static_cast<uint8_t>(std::to_integer<uint8_t>(data[i]) ^ 0x80);
    return;
  }
  // Low nibbles are the first half of the block, high nibbles the second.
  for (int64_t i = 0; i < kBlockColumns / 2; i++) {
    const uint8_t pair = std::to_integer<uint8_t>(data[i]);
    codes[i * kTileRows] = pair & 15;
    codes[(i + kBlockColumns / 2) * kTileRows] = pair >> 4;
  }
}

}  // namespace

int64_t block_bytes(BlockType type) {
  switch (type) {
    case BlockType::q4_0:
      return 18;
    case BlockType::q4_1:
      return 20;
    default:
      return 34;
  }
}

EncodingRecord kept_encoding(BlockType type) {
  return affine_encoding(type == BlockType::q8_0 ? 8 : 4, kBlockColumns, Element::f16, false,
                         type == BlockType::q4_1 ? ZeroKind::minimum_f16 : ZeroKind::constant);
}

void keep_tile(BlockType type, std::span<const std::byte* const> rows, int64_t tile,
               PartBuffers* out) {
  const int64_t blocks = out->columns / kBlockColumns;
  const auto codes = std::make_unique<uint8_t[]>(static_cast<size_t>(out->columns * kTileRows));
  TileStore store(tile, static_cast<int64_t>(rows.size()), out);
  for (int64_t i = 0; i < blocks; i++) {
    StoredGroup group;
    for (size_t row = 0; row < rows.size(); row++) {
      const std::byte* block = rows[row] + i * block_bytes(type);
      group.scale_bits[row] = load<uint16_t>(block);
      if (type == BlockType::q4_1) group.minimum_bits[row] = load<uint16_t>(block + 2);
      put_codes(type, block, codes.get() + i * kBlockColumns * kTileRows + row);
    }
    store.parameters(i, group);
  }
  store.codes(codes.get());
}

}  // namespace sqf

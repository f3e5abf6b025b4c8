#include "converter/methods/tile_store.hpp"

#include <cstring>

namespace sqf {
namespace {

template <typename T>
void put(std::vector<std::byte>* to, int64_t index, T value) {
  std::memcpy(to->data() + static_cast<size_t>(index) * sizeof(T), &value, sizeof(T));
}

}  // namespace

TileStore::TileStore(int64_t tile, int64_t real_rows, PartBuffers* out)
    : tile_(tile),
      real_rows_(real_rows),
      groups_(grouping(out->encoding, out->columns).count),
      out_(out) {}

void TileStore::row_factors(const Lanes& factors) {
  for (int64_t row = 0; row < real_rows_; row++)
    put(&out_->row_factors, tile_ * kTileRows + row, factors[static_cast<size_t>(row)]);
}

void TileStore::parameters(int64_t group, const StoredGroup& stored) {
  const int64_t first = (tile_ * groups_ + group) * kTileRows;
  const EncodingRecord& e = out_->encoding;
  const int scale_bits = element_bits(e.scale_type);
  for (int64_t row = 0; row < real_rows_; row++) {
    const size_t lane = static_cast<size_t>(row);
    const uint32_t bits = stored.scale_bits[lane];
    if (scale_bits == 32)
      put(&out_->scales, first + row, bits);
    else if (scale_bits == 16)
      put(&out_->scales, first + row, static_cast<uint16_t>(bits));
    else
      put(&out_->scales, first + row, static_cast<uint8_t>(bits));
    const auto zero = static_cast<uint8_t>(stored.grid.zero[lane]);
    if (e.zero == ZeroKind::u8) put(&out_->zeros, first + row, zero);
    if (e.zero == ZeroKind::minimum_f16) put(&out_->zeros, first + row, stored.minimum_bits[lane]);
    if (e.zero == ZeroKind::u4) {
      // Row i in the low nibble of byte i, row i + 8 in the high one.
      std::byte& pair = out_->zeros[static_cast<size_t>(first / 2 + row % 8)];
      pair = row < 8 ? static_cast<std::byte>(zero) : pair | static_cast<std::byte>(zero << 4);
    }
  }
}

void TileStore::codes(uint8_t* codes) {
  if (real_rows_ < kTileRows)
    for (int64_t k = 0; k < out_->columns; k++)
      std::memset(codes + k * kTileRows + real_rows_, 0,
                  static_cast<size_t>(kTileRows - real_rows_));
  std::array<std::byte*, kMaxPlanes> planes = {};
  for (size_t i = 0; i < planes.size(); i++) planes[i] = out_->planes[i].data();
  pack_lanes(out_->encoding, out_->columns, tile_, codes, planes);
}

}  // namespace sqf

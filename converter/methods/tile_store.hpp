#pragma once
// Writes the codes and parameters of one tile to the buffers of its part. Padding rows get 0
// bytes, whatever the caller's lanes hold there.

#include <cstdint>

#include "converter/methods/range.hpp"
#include "converter/part_buffers.hpp"

namespace sqf {

class TileStore {
 public:
  TileStore(int64_t tile, int64_t real_rows, PartBuffers* out);

  void row_factors(const Lanes& factors);
  void parameters(int64_t group, const StoredGroup& stored);
  /// codes [columns][16]; the lanes of padding rows are cleared there.
  void codes(uint8_t* codes);

 private:
  int64_t tile_, real_rows_, groups_;
  PartBuffers* out_;
};

}  // namespace sqf

#include "runtime/low_rank.hpp"

#include <cassert>
#include <vector>

#include "format/encoding.hpp"
#include "format/scalar.hpp"
#include "runtime/cpu/matmul_job.hpp"

namespace sqf {
namespace {

/// Rank 1 has a row that stands alone: as a tile of f32 with fifteen rows of zeros.
const uint8_t* lone_row(const LowRankFactor& f, std::vector<float>* tile) {
  tile->assign(static_cast<size_t>(f.columns * kTileRows), 0.0f);
  for (int64_t k = 0; k < f.columns; k++)
    (*tile)[static_cast<size_t>(k * kTileRows)] =
        f.scales == nullptr ? f16_to_f32(load<uint16_t>(f.values, k))
                            : static_cast<float>(load<int8_t>(f.values, k));
  return reinterpret_cast<const uint8_t*>(tile->data());
}

}  // namespace

void multiply_factor(Isa isa, const LowRankFactor& f, const float* x, int64_t tokens, Slice slice,
                     float* y, int64_t stride, bool add) {
  if (slice.begin >= slice.end) return;
  assert(slice.begin % kTileRows == 0);
  ValuesJob job;
  std::vector<float> tile;
  job.type = f.scales == nullptr ? Element::f16 : Element::i8;
  job.values = reinterpret_cast<const uint8_t*>(f.values) +
               ValueLayout(job.type, f.rows, f.columns).offset(slice.begin, 0);
  if (f.rows == 1) {
    job.values = lone_row(f, &tile);
    job.type = Element::f32;
  }
  job.rows = slice.end - slice.begin;
  job.columns = f.columns;
  job.x = x;
  job.x_stride = f.columns;
  job.tokens = tokens;
  job.row_scales = f.scales == nullptr ? nullptr : f.scales + slice.begin;
  job.add = add;
  job.y = y + slice.begin;
  job.y_stride = stride;
  multiply_values(isa, job);
}

}  // namespace sqf

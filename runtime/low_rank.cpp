#include "runtime/low_rank.hpp"

#include "runtime/cpu/matmul_job.hpp"

namespace sqf {
namespace {

int64_t factor_row_bytes(const LowRankFactor& f) {
  return (f.columns * (f.scales == nullptr ? 2 : 1) + 63) / 64 * 64;
}

const uint8_t* factor_row(const LowRankFactor& f, int64_t index) {
  return reinterpret_cast<const uint8_t*>(f.values) + index * factor_row_bytes(f);
}

}  // namespace

void multiply_factor(Isa isa, const LowRankFactor& f, const float* x, int64_t tokens, Slice slice,
                     float* y, int64_t stride, bool add) {
  if (slice.begin >= slice.end) return;
  RowsJob job;
  job.type = f.scales == nullptr ? Element::f16 : Element::i8;
  job.row_bytes = factor_row_bytes(f);
  job.values = factor_row(f, slice.begin);
  job.rows = slice.end - slice.begin;
  job.columns = f.columns;
  job.x = x;
  job.x_stride = f.columns;
  job.tokens = tokens;
  job.row_scales = f.scales == nullptr ? nullptr : f.scales + slice.begin;
  job.add = add;
  job.y = y + slice.begin;
  job.y_stride = stride;
  multiply_rows(isa, job);
}

}  // namespace sqf

#include "runtime/cpu/matmul_scalar.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "format/scalar.hpp"
#include "runtime/cpu/matmul_job.hpp"

namespace sqf {
namespace {

// Wraps like the vector kernels' sums do; the result itself fits (kMaxSegment).
int32_t dot(const uint8_t* codes, const int8_t* q, int64_t columns, int32_t zero) {
  uint32_t sum = 0;
  for (int64_t k = 0; k < columns; k++)
    sum += static_cast<uint32_t>((static_cast<int32_t>(codes[k]) - zero) * q[k]);
  return static_cast<int32_t>(sum);
}

float load_value(const uint8_t* at, Element type) {
  if (type == Element::i8) return static_cast<float>(static_cast<int8_t>(*at));
  if (type == Element::f32) {
    float value;
    std::memcpy(&value, at, 4);
    return value;
  }
  uint16_t bits;
  std::memcpy(&bits, at, 2);
  return type == Element::f16 ? f16_to_f32(bits) : bf16_to_f32(bits);
}

}  // namespace

void matmul_scalar(const PartView& part, const QuantizedInput& input, int64_t tile_begin,
                   int64_t tile_end, float* y, int64_t stride) {
  const bool has_minimum = part.encoding.zero == ZeroKind::minimum_f16;
  std::vector<uint8_t> codes(static_cast<size_t>(kTileRows * part.columns));
  for (int64_t tile = tile_begin; tile < tile_end; tile++) {
    unpack_tile(part, tile, codes.data());
    const int64_t rows = std::min<int64_t>(kTileRows, part.rows - tile * kTileRows);
    for (int64_t lane = 0; lane < rows; lane++) {
      const int64_t row = tile * kTileRows + lane;
      for (int64_t token = 0; token < input.tokens; token++) y[token * stride + row] = 0;
      for (int64_t s = 0; s < input.segments; s++) {
        const GroupParameters p = group_parameters(part, row, input.group == 0 ? 0 : s);
        const uint8_t* row_codes = codes.data() + lane * part.columns + s * input.segment;
        for (int64_t token = 0; token < input.tokens; token++) {
          const int8_t* q = input.q + token * input.stride + s * input.segment_slots;
          const int64_t at = token * input.segments + s;
          const int32_t sum = dot(row_codes, q, input.segment_columns(s), p.zero);
          float& out = y[token * stride + row];
          out = std::fma(static_cast<float>(sum), p.scale * input.scales[at], out);
          if (has_minimum) out = std::fma(p.minimum, input.sums[at], out);
        }
      }
    }
  }
}

void multiply_values_scalar(const ValuesJob& job) {
  const ValueLayout layout(job.type, kTileRows, job.columns);
  for (int64_t row = 0; row < job.rows; row++) {
    for (int64_t token = 0; token < job.tokens; token++) {
      const float* x = job.x + token * job.x_stride;
      float sums[4] = {};
      for (int64_t k = 0; k < job.columns; k++) {
        float& sum = sums[k % 4];
        sum = std::fma(load_value(job.values + layout.offset(row, k), job.type), x[k], sum);
      }
      float sum = (sums[0] + sums[2]) + (sums[1] + sums[3]);
      if (job.row_scales != nullptr) sum *= job.row_scales[row];
      float& y = job.y[token * job.y_stride + row];
      y = job.add ? y + sum : sum;
    }
  }
}

}  // namespace sqf

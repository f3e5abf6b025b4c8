#include "runtime/cpu/matmul.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>

#include "format/scalar.hpp"
#include "runtime/cpu/matmul_job.hpp"
#include "runtime/cpu/matmul_scalar.hpp"

namespace sqf {
namespace {

/// What is brought to f32 at a time: it shares the second cache with the tokens.
constexpr int64_t kWideBytes = 1 << 18;

/// [16][columns] to [columns][16].
void into_lanes(const float* rows, int64_t columns, float* lanes) {
  for (int64_t k = 0; k < columns; k++)
    for (int64_t row = 0; row < kTileRows; row++)
      lanes[k * kTileRows + row] = rows[row * columns + k];
}

using ScaleTable = std::array<float, 256>;

ScaleTable scale_table(float (*decode)(uint8_t)) {
  ScaleTable table;
  for (size_t i = 0; i < table.size(); i++) table[i] = decode(static_cast<uint8_t>(i));
  return table;
}

const float* table_of(Element scale_type) {
  static const ScaleTable kE8m0 = scale_table(e8m0_to_f32), kE4m3 = scale_table(e4m3_to_f32);
  if (scale_type == Element::e8m0) return kE8m0.data();
  return scale_type == Element::e4m3 ? kE4m3.data() : nullptr;
}

const uint8_t* bytes(const std::byte* p) {
  return reinterpret_cast<const uint8_t*>(p);
}

/// 1..8 where the planes are those that affine_encoding() chooses for so many bits, else 0.
int standard_width(const EncodingRecord& e) {
  const int bits = code_bits(e);
  return affine_encoding(bits, 0, e.scale_type, false, e.zero).radices == e.radices ? bits : 0;
}

void set_planes(const PartView& part, MatmulJob* job) {
  const EncodingRecord& e = part.encoding;
  job->width = standard_width(e);
  job->plane_count = e.plane_count;
  const int64_t blocks = (job->slots + kBlockColumns - 1) / kBlockColumns;
  job->full_blocks = blocks;
  for (size_t p = 0; p < e.plane_count; p++) {
    const uint32_t radix = e.radices[p];
    const int64_t words = words_per_row(e, radix, part.columns);
    job->plane_bits[p] = static_cast<int>(std::bit_width(radix)) - 1;
    job->planes[p] = bytes(part.planes[p]);
    job->tile_bytes[p] = words * kTileRows * 4;
    job->full_blocks =
        std::min(job->full_blocks, words * 4 * digits_per_byte(radix) / kBlockColumns);
  }
  job->tail = job->full_blocks < blocks;
}

MatmulJob job_of(const PartView& part, const QuantizedInput& input) {
  const EncodingRecord& e = part.encoding;
  MatmulJob job;
  job.rows = part.rows;
  job.groups = grouping(e, part.columns).count;
  job.group_step = e.group == 0 ? 0 : 1;
  job.scales = bytes(part.scales);
  job.scale_type = e.scale_type;
  job.scale_table = table_of(e.scale_type);
  job.scale_bytes = kTileRows * element_bits(e.scale_type) / 8;
  job.zero_bytes = kTileRows * element_bits(zero_shape(e, 1, 1, 1).element) / 8;
  job.row_factors = e.row_factor ? part.row_factors : nullptr;
  job.zeros = bytes(part.zeros);
  job.zero = e.zero;
  job.zero_constant = static_cast<int32_t>(e.zero_constant);

  job.q = input.q;
  job.stride = input.stride;
  job.tokens = input.tokens;
  job.segments = input.segments;
  job.segment_slots = input.segment_slots;
  job.slots = input.slots;
  job.x_scales = input.scales;
  job.corrections = input.corrections;
  job.x_sums = input.sums;
  job.chunk_segments = std::clamp<int64_t>(kChunkColumns / input.segment_slots, 1, kChunkSegments);
  set_planes(part, &job);
  return job;
}

}  // namespace

bool has_integer_kernel(const EncodingRecord& encoding) {
  if (encoding.grid != Grid::affine || encoding.group > kMaxSegment) return false;
  for (size_t p = 0; p < encoding.plane_count; p++)
    if (!std::has_single_bit(encoding.radices[p])) return false;
  return encoding.plane_count > 0;
}

void matmul(Isa isa, const PartView& part, const QuantizedInput& input, int64_t tile_begin,
            int64_t tile_end, float* y, int64_t stride) {
  assert(has_integer_kernel(part.encoding));
  assert(input.columns == part.columns && input.group == part.encoding.group);
#if defined(__x86_64__)
  if (isa != Isa::scalar) {
    thread_local AlignedBuffer scratch;
    MatmulJob job = job_of(part, input);
    job.tile_begin = tile_begin;
    job.tile_end = tile_end;
    job.y = y;
    job.y_stride = stride;
    const int64_t tail_bytes = kMaxPlanes * 512;
    const int64_t codes = 4 * kTileRows * (job.chunk_segments * job.segment_slots + 32);
    // As many tokens at a time as leave half of a 1 MiB cache to the codes.
    job.token_block = std::clamp<int64_t>((int64_t{1} << 19) / input.stride, 24, 240);
    const int64_t results = std::min(job.token_block, input.tokens) * kResultBytes;
    job.tail_block = reinterpret_cast<uint8_t*>(scratch.reserve(tail_bytes + codes + results));
    job.scratch = job.tail_block + tail_bytes;
    job.results = reinterpret_cast<float*>(job.scratch + codes);
    return isa == Isa::avx2 ? matmul_avx2(job) : matmul_avx512(job);
  }
#endif
  matmul_scalar(part, input, tile_begin, tile_end, y, stride);
}

void multiply_values([[maybe_unused]] Isa isa, ValuesJob job) {
#if defined(__x86_64__)
  if (isa != Isa::scalar) {
    thread_local AlignedBuffer scratch;
    const int64_t tile_bytes = job.columns * kTileRows * 4;
    job.wide_tiles = std::max<int64_t>(kWideBytes / tile_bytes, 1);
    if (job.type != Element::f32 && job.tokens > 1)
      job.wide = reinterpret_cast<float*>(
          scratch.reserve(std::min(job.wide_tiles, tiles_of(job.rows)) * tile_bytes + 3 * 64));
    return isa == Isa::avx2 ? multiply_values_avx2(job) : multiply_values_avx512(job);
  }
#endif
  multiply_values_scalar(job);
}

void matmul_f32(Isa isa, const PartView& part, const float* x, int64_t tokens, int64_t x_stride,
                int64_t tile_begin, int64_t tile_end, float* y, int64_t stride, bool add) {
  ValuesJob job;
  job.columns = part.columns;
  job.x = x;
  job.x_stride = x_stride;
  job.tokens = tokens;
  job.add = add;
  job.y_stride = stride;
  const int64_t end = std::min(tile_end * kTileRows, part.rows);
  const auto multiply = [&](int64_t tile, int64_t last_row, const uint8_t* values) {
    job.values = values;
    job.rows = last_row - tile * kTileRows;
    job.y = y + tile * kTileRows;
    multiply_values(isa, job);
  };
  if (tile_begin >= tile_end) return;
  if (part.encoding.grid == Grid::real && part.rows > 1) {
    job.type = part.encoding.value_type;
    const ValueLayout layout(job.type, part.rows, part.columns);
    return multiply(tile_begin, end,
                    bytes(part.planes[0]) + layout.offset(tile_begin * kTileRows, 0));
  }
  thread_local AlignedBuffer scratch;
  const int64_t tile_values = kTileRows * part.columns;
  const int64_t run = std::clamp<int64_t>(kWideBytes / 4 / tile_values, 1, tile_end - tile_begin);
  auto* decoded = reinterpret_cast<float*>(scratch.reserve((run + 1) * tile_values * 4));
  float* lanes = decoded + tile_values;
  for (int64_t tile = tile_begin; tile < tile_end; tile += run) {
    const int64_t last = std::min(tile + run, tile_end);
    for (int64_t i = tile; i < last; i++) {
      decode_tile(part, i, decoded);
      into_lanes(decoded, part.columns, lanes + (i - tile) * tile_values);
    }
    multiply(tile, std::min(last * kTileRows, end), reinterpret_cast<const uint8_t*>(lanes));
  }
}

}  // namespace sqf

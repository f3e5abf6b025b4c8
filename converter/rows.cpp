// Rows of source tensors, decoded to f32.

#include <cassert>
#include <cstring>

#include "converter/gguf_blocks.hpp"
#include "converter/source.hpp"
#include "format/scalar.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace sqf {
namespace {

void decode_f16_scalar(const std::byte* in, int64_t count, float* out) {
  for (int64_t i = 0; i < count; ++i) out[i] = f16_to_f32(load<uint16_t>(in + 2 * i));
}

#if defined(__x86_64__)
__attribute__((target("avx2,f16c"))) void decode_f16_f16c(const std::byte* in, int64_t count,
                                                          float* out) {
  int64_t i = 0;
  for (; i + 8 <= count; i += 8)
    _mm256_storeu_ps(
        out + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(in + 2 * i))));
  decode_f16_scalar(in + 2 * i, count - i, out + i);
}

/// cpuid for F16C, since clang's __builtin_cpu_supports does not know it; avx2 also says that the
/// system keeps the wide registers.
bool has_f16c() {
  static const bool has = [] {
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __builtin_cpu_supports("avx2") && __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C) != 0;
  }();
  return has;
}
#endif

void decode_f16(const std::byte* in, int64_t count, float* out) {
#if defined(__x86_64__)
  if (has_f16c()) return decode_f16_f16c(in, count, out);
#endif
  decode_f16_scalar(in, count, out);
}

void decode_bf16(const std::byte* in, int64_t count, float* out) {
  for (int64_t i = 0; i < count; ++i) out[i] = bf16_to_f32(load<uint16_t>(in + 2 * i));
}

void decode(SourceType type, const std::byte* in, int64_t count, float* out) {
  switch (type) {
    case SourceType::f32:
      std::memcpy(out, in, static_cast<size_t>(count) * sizeof(float));
      return;
    case SourceType::f16:
      return decode_f16(in, count, out);
    case SourceType::bf16:
      return decode_bf16(in, count, out);
    default:
      return decode_blocks(block_format(type), in, count, out);
  }
}

/// Interleaved place of element `index` of `total` in `heads` heads: element i of half h of a head
/// lies at 2 i + h.
int64_t interleaved(int64_t index, int64_t total, int64_t heads) {
  const int64_t head_dim = total / heads;
  const int64_t head = index / head_dim;
  const int64_t within = index % head_dim;
  const int64_t half = head_dim / 2;
  return head * head_dim + 2 * (within % half) + within / half;
}

int64_t row_size_bytes(const SourceTensor& tensor) {
  return column_count(tensor) / block_columns(tensor.type) * block_bytes(tensor.type);
}

}  // namespace

bool is_block(SourceType type) {
  return static_cast<int>(type) >= kPlainSourceTypes;
}

std::string_view source_type_name(SourceType type) {
  constexpr std::string_view kNames[kPlainSourceTypes] = {"f32", "f16", "bf16"};
  return is_block(type) ? block_format(type).name : kNames[static_cast<size_t>(type)];
}

int64_t block_columns(SourceType type) {
  return is_block(type) ? block_format(type).columns : 1;
}

int64_t block_bytes(SourceType type) {
  constexpr int64_t kSizes[kPlainSourceTypes] = {4, 2, 2};
  return is_block(type) ? block_format(type).bytes : kSizes[static_cast<size_t>(type)];
}

int64_t row_count(const SourceTensor& tensor) {
  int64_t rows = 1;
  for (size_t i = 0; i + 1 < tensor.shape.size(); ++i) rows *= tensor.shape[i];
  return rows;
}

int64_t column_count(const SourceTensor& tensor) {
  return tensor.shape.back();
}

int64_t stored_row(const SourceTensor& tensor, int64_t row) {
  if (tensor.rotary_heads == 0 || tensor.shape.size() == 1) return row;
  return interleaved(row, row_count(tensor), tensor.rotary_heads);
}

std::span<const std::byte> row_bytes(const SourceTensor& tensor, int64_t row) {
  assert(row >= 0 && row < row_count(tensor));
  const size_t size = static_cast<size_t>(row_size_bytes(tensor));
  return tensor.bytes.subspan(static_cast<size_t>(stored_row(tensor, row)) * size, size);
}

void read_rows(const SourceTensor& tensor, int64_t row, int64_t count, float* out) {
  assert(row >= 0 && count >= 0 && row <= row_count(tensor) - count);
  if (count == 0) return;
  const int64_t columns = column_count(tensor);
  if (tensor.rotary_heads == 0)
    return decode(tensor.type, row_bytes(tensor, row).data(), count * columns, out);
  if (tensor.shape.size() > 1) {
    for (int64_t r = 0; r < count; ++r)
      decode(tensor.type, row_bytes(tensor, row + r).data(), columns, out + r * columns);
    return;
  }
  std::vector<float> stored(static_cast<size_t>(columns));
  decode(tensor.type, tensor.bytes.data(), columns, stored.data());
  for (int64_t i = 0; i < columns; ++i)
    out[i] = stored[static_cast<size_t>(interleaved(i, columns, tensor.rotary_heads))];
}

}  // namespace sqf

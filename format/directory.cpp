#include "format/directory.hpp"

#include <cstring>

#include "format/rules.hpp"

namespace sqf {
namespace {

/// Where the array behind one of so many bytes starts.
constexpr uint64_t padded(uint64_t bytes) {
  return (bytes + 7) / 8 * 8;
}

template <typename T>
void put(std::vector<std::byte>& out, const T* records, size_t count) {
  const auto* bytes = reinterpret_cast<const std::byte*>(records);
  out.insert(out.end(), bytes, bytes + count * sizeof(T));
  out.resize(padded(out.size()));
}

/// Copies `count` records from `at` on; the caller has checked that they are there.
template <typename T>
void take(std::span<const std::byte> section, uint64_t& at, uint32_t count, std::vector<T>& out) {
  // TDIR is copied to aligned memory, and every array in it starts at a multiple of 8.
  const auto* first = reinterpret_cast<const T*>(section.data() + at);
  out.assign(first, first + count);
  at += padded(count * sizeof(T));
}

}  // namespace

std::vector<std::byte> serialize(const Directory& d) {
  DirectoryHeader header = {};
  header.encoding_count = static_cast<uint32_t>(d.encodings.size());
  header.input_count = static_cast<uint32_t>(d.inputs.size());
  header.tensor_count = static_cast<uint32_t>(d.tensors.size());
  header.part_count = static_cast<uint32_t>(d.parts.size());
  header.component_count = static_cast<uint32_t>(d.components.size());
  header.name_bytes = static_cast<uint32_t>(d.names.size());
  header.encoding_size = sizeof(EncodingRecord);
  header.input_size = sizeof(InputRecord);
  header.tensor_size = sizeof(TensorRecord);
  header.part_size = sizeof(PartRecord);
  header.component_size = sizeof(ComponentRecord);
  std::vector<std::byte> out;
  put(out, &header, 1);
  put(out, d.encodings.data(), d.encodings.size());
  put(out, d.inputs.data(), d.inputs.size());
  put(out, d.tensors.data(), d.tensors.size());
  put(out, d.parts.data(), d.parts.size());
  put(out, d.components.data(), d.components.size());
  put(out, d.names.data(), d.names.size());
  return out;
}

Result<Directory> parse_directory(std::span<const std::byte> section) {
  DirectoryHeader h;
  if (section.size() < sizeof h)
    return broken(Rule::directory_size, std::to_string(section.size()) + " bytes");
  std::memcpy(&h, section.data(), sizeof h);
  for (uint16_t field : h.reserved)
    if (field != 0) return broken(Rule::directory_reserved, "in the directory's header");
  if (h.encoding_size != sizeof(EncodingRecord) || h.input_size != sizeof(InputRecord) ||
      h.tensor_size != sizeof(TensorRecord) || h.part_size != sizeof(PartRecord) ||
      h.component_size != sizeof(ComponentRecord))
    return broken(Rule::directory_size, "a record size differs from version 1's");
  // Counts are 32-bit and records small: the sum cannot wrap 64 bits.
  const uint64_t expected =
      sizeof h + padded(h.encoding_count * sizeof(EncodingRecord)) +
      padded(h.input_count * sizeof(InputRecord)) + padded(h.tensor_count * sizeof(TensorRecord)) +
      padded(h.part_count * sizeof(PartRecord)) +
      padded(h.component_count * sizeof(ComponentRecord)) + padded(h.name_bytes);
  if (expected != section.size())
    return broken(Rule::directory_size, "counts imply " + std::to_string(expected) +
                                            " bytes, the section has " +
                                            std::to_string(section.size()));
  if (h.tensor_count > kMaxTensors || h.component_count > kMaxComponents ||
      h.encoding_count > kMaxEncodings)
    return broken(Rule::directory_size, "a count is beyond its limit");
  Directory d;
  uint64_t at = sizeof h;
  take(section, at, h.encoding_count, d.encodings);
  take(section, at, h.input_count, d.inputs);
  take(section, at, h.tensor_count, d.tensors);
  take(section, at, h.part_count, d.parts);
  take(section, at, h.component_count, d.components);
  d.names.assign(reinterpret_cast<const char*>(section.data() + at), h.name_bytes);
  for (uint64_t i = at + h.name_bytes; i < section.size(); i++)
    if (section[i] != std::byte{0}) return broken(Rule::directory_reserved, "after the name pool");
  return d;
}

MatrixShape matrix_shape(const TensorRecord& tensor) {
  MatrixShape m;
  if (tensor.rank == 3) m.experts = tensor.shape[0];
  if (tensor.rank >= 2) m.rows = tensor.shape[tensor.rank - 2u];
  m.columns = tensor.shape[tensor.rank - 1u];
  return m;
}

TensorRecord empty_tensor() {
  TensorRecord t = {};
  t.input = t.bias = kNone;
  t.low_rank_a = t.low_rank_b = t.low_rank_a_scales = t.low_rank_b_scales = kNone;
  return t;
}

PartRecord empty_part() {
  PartRecord part = {};
  part.planes.fill(kNone);
  part.scales = part.row_factors = part.zeros = part.column_factors = part.row_sums = kNone;
  return part;
}

InputRecord plain_input(uint64_t columns) {
  InputRecord input = {};
  input.columns = columns;
  input.smooth = kNone;
  input.set_count = 1;
  input.sets[0].kind = ColumnKind::all;
  input.sets[0].count = columns;
  input.sets[0].columns = kNone;
  return input;
}

ComponentRecord component_record(const ComponentShape& shape) {
  ComponentRecord c = {};
  c.size = component_bytes(shape);
  c.element = shape.element;
  c.packing = shape.packing;
  c.rows = shape.rows;
  c.cols = shape.cols;
  return c;
}

uint64_t stored_bytes(const Directory& d, const TensorRecord& t) {
  uint64_t bytes = 0;
  each_stored(d, t,
              [&](uint32_t, uint32_t index, const char*) { bytes += d.components[index].size; });
  return bytes;
}

uint64_t part_columns(const Directory& d, const TensorRecord& tensor, const PartRecord& part) {
  if (tensor.input == kNone) return matrix_shape(tensor).columns;
  return d.inputs[tensor.input].sets[part.column_set].count;
}

}  // namespace sqf

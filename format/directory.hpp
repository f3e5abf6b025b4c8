#pragma once
// The tensor directory: which tensor is made of which components. Parsing checks only that the
// bytes fit; validate_directory() checks every rule about what the records say.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "format/encoding.hpp"
#include "format/findings.hpp"
#include "format/layout.hpp"
#include "format/result.hpp"

namespace sqf {

struct Directory {
  std::vector<EncodingRecord> encodings;
  std::vector<InputRecord> inputs;
  std::vector<TensorRecord> tensors;        ///< sorted by name
  std::vector<PartRecord> parts;            ///< in the order of the tensors
  std::vector<ComponentRecord> components;  ///< in the order of their bytes
  std::string names;                        ///< pool: the names one after another, in tensor order

  std::string_view name(const TensorRecord& tensor) const {
    return std::string_view(names).substr(tensor.name_offset, tensor.name_size);
  }
};

std::vector<std::byte> serialize(const Directory& directory);

/// Copies the records out of a TDIR section. Errors: malformed (R401, R413).
Result<Directory> parse_directory(std::span<const std::byte> section);

/// Checks all rules R402..R413; `data_begin`, `data_end` bound the DATA section, `align` is the
/// component alignment. Linear in the number of records. If it finds nothing, views cannot fail.
void validate_directory(const Directory& directory, uint64_t data_begin, uint64_t data_end,
                        uint64_t align, Findings& findings);

/// Rows and columns of the matrix that a tensor's shape means: a vector is one row.
struct MatrixShape {
  uint64_t experts = 1, rows = 1, columns = 1;
};
MatrixShape matrix_shape(const TensorRecord& tensor);

/// Columns that a part covers: those of its column set, or all.
uint64_t part_columns(const Directory& directory, const TensorRecord& tensor,
                      const PartRecord& part);

// Records to start from: all zero but the indices, which are kNone.
TensorRecord empty_tensor();
PartRecord empty_part();
/// All columns, neither smoothed nor quantized.
InputRecord plain_input(uint64_t columns);
/// Without place and hash.
ComponentRecord component_record(const ComponentShape& shape);

/// Calls visit(component index, expected shape, what) for each component that the part refers to,
/// in their order in the file: planes, scales, row factors, zeros, column factors, row sums.
template <typename Visit>
void each_component(const PartRecord& part, const EncodingRecord& e, const MatrixShape& m,
                    uint64_t columns, Visit visit) {
  const int planes = e.grid == Grid::real ? 1 : e.plane_count;
  for (int i = 0; i < planes; i++)
    visit(part.planes[static_cast<size_t>(i)], plane_shape(e, i, m.experts, m.rows, columns),
          "code plane");
  if (e.scale_type != Element::none)
    visit(part.scales, scale_shape(e, m.experts, m.rows, columns), "scales");
  if (e.row_factor != 0)
    visit(part.row_factors, row_factor_shape(m.experts, m.rows), "row factors");
  if (e.zero >= ZeroKind::u4) visit(part.zeros, zero_shape(e, m.experts, m.rows, columns), "zeros");
  if (part.column_factors != kNone)
    visit(part.column_factors, ComponentShape{Element::f32, Packing::vector, 1, columns},
          "column factors");
  if (part.row_sums != kNone)
    visit(part.row_sums, row_sum_shape(e, m.experts, m.rows, columns), "row sums");
}

/// Calls visit(part, component index, what) for everything that is stored for a tensor alone, in
/// the order of spec/sqf.md 3: `part` counts within the tensor, kNone for what belongs to the
/// whole.
template <typename Visit>
void each_stored(const Directory& d, const TensorRecord& t, Visit visit) {
  for (uint32_t p = 0; p < t.part_count; p++) {
    const PartRecord& part = d.parts[t.part_first + p];
    each_component(
        part, d.encodings[part.encoding], matrix_shape(t), part_columns(d, t, part),
        [&](uint32_t index, const ComponentShape&, const char* what) { visit(p, index, what); });
  }
  const auto whole = [&](uint32_t index, const char* what) {
    if (index != kNone) visit(kNone, index, what);
  };
  whole(t.low_rank_a, "low-rank A");
  whole(t.low_rank_b, "low-rank B");
  whole(t.low_rank_a_scales, "low-rank A scales");
  whole(t.low_rank_b_scales, "low-rank B scales");
  whole(t.bias, "bias");
}

/// Bytes of all that, padding within its components included.
uint64_t stored_bytes(const Directory& directory, const TensorRecord& tensor);

}  // namespace sqf

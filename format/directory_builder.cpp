#include <algorithm>
#include <cstring>

#include "format/writer.hpp"

namespace sqf {

uint32_t DirectoryBuilder::encoding(const EncodingRecord& record) {
  auto& all = directory_.encodings;
  for (uint32_t i = 0; i < all.size(); i++)
    if (std::memcmp(&all[i], &record, sizeof record) == 0) return i;
  all.push_back(record);
  return static_cast<uint32_t>(all.size() - 1);
}

uint32_t DirectoryBuilder::input(InputRecord record) {
  if (record.smooth_state != SmoothState::none)
    record.smooth = component({Element::f32, Packing::vector, 1, record.columns});
  for (size_t i = 0; i < record.set_count; i++)
    if (record.sets[i].kind == ColumnKind::list)
      record.sets[i].columns = component({Element::u32, Packing::vector, 1, record.sets[i].count});
  directory_.inputs.push_back(record);
  return static_cast<uint32_t>(directory_.inputs.size() - 1);
}

uint32_t DirectoryBuilder::component(const ComponentShape& shape) {
  directory_.components.push_back(component_record(shape));
  return static_cast<uint32_t>(directory_.components.size() - 1);
}

PartRecord DirectoryBuilder::part(const PartLayout& layout, const MatrixShape& m,
                                  uint64_t columns) {
  const EncodingRecord& e = layout.encoding;
  PartRecord part = empty_part();
  part.encoding = encoding(e);
  part.column_set = layout.column_set;
  const int planes = e.grid == Grid::real ? 1 : e.plane_count;
  for (int i = 0; i < planes; i++)
    part.planes[static_cast<size_t>(i)] = component(plane_shape(e, i, m.experts, m.rows, columns));
  if (e.scale_type != Element::none)
    part.scales = component(scale_shape(e, m.experts, m.rows, columns));
  if (e.row_factor != 0) part.row_factors = component(row_factor_shape(m.experts, m.rows));
  if (e.zero >= ZeroKind::u4) part.zeros = component(zero_shape(e, m.experts, m.rows, columns));
  if (layout.column_factors)
    part.column_factors = component({Element::f32, Packing::vector, 1, columns});
  if (layout.row_sums) part.row_sums = component(row_sum_shape(e, m.experts, m.rows, columns));
  return part;
}

void DirectoryBuilder::tensor(const TensorLayout& layout) {
  TensorRecord t = empty_tensor();
  t.rank = static_cast<uint8_t>(layout.shape.size());
  std::copy(layout.shape.begin(), layout.shape.end(), t.shape.begin());
  t.input = layout.input;
  t.part_count = static_cast<uint32_t>(layout.parts.size());
  t.rank_pair = layout.rank;
  const MatrixShape m = matrix_shape(t);
  Named named = {layout.name, t, {}};
  for (const PartLayout& p : layout.parts) {
    PartRecord where = empty_part();
    where.column_set = p.column_set;
    named.parts.push_back(part(p, m, part_columns(directory_, t, where)));
  }
  if (layout.rank != 0) {
    const uint64_t rank = layout.rank;
    named.record.low_rank_a = component(value_shape(layout.factor_type, m.experts, m.rows, rank));
    named.record.low_rank_b =
        component(value_shape(layout.factor_type, m.experts, rank, m.columns));
    if (layout.factor_type == Element::i8) {
      named.record.low_rank_a_scales =
          component({Element::f32, Packing::vector, m.experts * m.rows, 1});
      named.record.low_rank_b_scales =
          component({Element::f32, Packing::vector, m.experts * rank, 1});
    }
  }
  if (layout.bias)
    named.record.bias = component({Element::f32, Packing::vector, m.experts, m.rows});
  tensors_.push_back(std::move(named));
}

void DirectoryBuilder::tensor(const std::string& name, std::span<const uint64_t> shape,
                              uint32_t input, const EncodingRecord& e, bool bias) {
  TensorLayout layout;
  layout.name = name;
  layout.shape.assign(shape.begin(), shape.end());
  layout.input = input;
  layout.parts = {{.encoding = e}};
  layout.bias = bias;
  tensor(layout);
}

Directory DirectoryBuilder::finish() {
  std::sort(tensors_.begin(), tensors_.end(),
            [](const Named& a, const Named& b) { return a.name < b.name; });
  for (Named& named : tensors_) {
    named.record.name_offset = static_cast<uint32_t>(directory_.names.size());
    named.record.name_size = static_cast<uint16_t>(named.name.size());
    named.record.part_first = static_cast<uint32_t>(directory_.parts.size());
    directory_.names += named.name;
    directory_.tensors.push_back(named.record);
    directory_.parts.insert(directory_.parts.end(), named.parts.begin(), named.parts.end());
  }
  return std::move(directory_);
}

}  // namespace sqf

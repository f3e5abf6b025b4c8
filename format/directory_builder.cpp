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

uint32_t DirectoryBuilder::input(const InputRecord& record) {
  directory_.inputs.push_back(record);
  return static_cast<uint32_t>(directory_.inputs.size() - 1);
}

uint32_t DirectoryBuilder::component(const ComponentShape& shape) {
  directory_.components.push_back(component_record(shape));
  return static_cast<uint32_t>(directory_.components.size() - 1);
}

void DirectoryBuilder::tensor(const std::string& name, std::span<const uint64_t> shape,
                              uint32_t input, const EncodingRecord& e, bool bias) {
  TensorRecord t = empty_tensor();
  t.rank = static_cast<uint8_t>(shape.size());
  std::copy(shape.begin(), shape.end(), t.shape.begin());
  t.input = input;
  t.part_count = 1;
  PartRecord part = empty_part();
  part.encoding = encoding(e);
  const MatrixShape m = matrix_shape(t);
  const int planes = e.grid == Grid::real ? 1 : e.plane_count;
  for (int i = 0; i < planes; i++)
    part.planes[static_cast<size_t>(i)] =
        component(plane_shape(e, i, m.experts, m.rows, m.columns));
  if (e.scale_type != Element::none)
    part.scales = component(scale_shape(e, m.experts, m.rows, m.columns));
  if (e.row_factor != 0) part.row_factors = component(row_factor_shape(m.experts, m.rows));
  if (e.zero >= ZeroKind::u4) part.zeros = component(zero_shape(e, m.experts, m.rows, m.columns));
  if (bias) t.bias = component({Element::f32, Packing::vector, m.experts, m.rows});
  tensors_.push_back({name, t, part});
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
    directory_.parts.push_back(named.part);
  }
  return std::move(directory_);
}

}  // namespace sqf

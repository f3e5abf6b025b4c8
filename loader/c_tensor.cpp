// The C interface, second part: tensors, as records and as numbers.

#include "format/text.hpp"
#include "loader/c_boundary.hpp"
#include "loader/dequantize.hpp"

namespace sqf {
namespace {

struct PartPlace {
  TensorView tensor;
  const PartRecord* record;
  const EncodingRecord* encoding;
};

Result<PartPlace> part_at(const sqf_file* file, uint32_t tensor, uint32_t part, CallContext& call) {
  const auto view = tensor_at(file, tensor, call);
  if (!view) return view.error();
  if (part >= view->record->part_count)
    return usage_error("part " + std::to_string(part) + " of " +
                       std::to_string(view->record->part_count));
  const Directory& d = file->model.head().directory;
  const PartRecord& record = d.parts[view->record->part_first + part];
  return PartPlace{*view, &record, &d.encodings[record.encoding]};
}

sqf_tensor describe_tensor(const sqf_file& file, const TensorView& view) {
  const Directory& d = file.model.head().directory;
  const TensorRecord& t = *view.record;
  sqf_tensor out = {};
  out.index = static_cast<uint32_t>(view.record - d.tensors.data());
  out.name = file.names.data() + t.name_offset + out.index;
  out.rank = t.rank;
  for (size_t i = 0; i < t.shape.size(); i++) out.shape[i] = t.shape[i];
  out.experts = view.shape.experts;
  out.rows = view.shape.rows;
  out.columns = view.shape.columns;
  out.stored_bytes = stored_bytes(d, t);
  out.bits_per_weight = 8.0 * static_cast<double>(out.stored_bytes) /
                        static_cast<double>(out.experts * out.rows * out.columns);
  out.part_count = t.part_count;
  out.input = t.input;
  out.low_rank = t.rank_pair;
  out.has_bias = t.bias != kNone ? 1 : 0;
  return out;
}

sqf_encoding describe_encoding(const EncodingRecord& e) {
  sqf_encoding out = {};
  out.grid = static_cast<uint32_t>(e.grid);
  out.zero = static_cast<uint32_t>(e.zero);
  out.plane_count = e.plane_count;
  out.row_factor = e.row_factor;
  out.value_type = static_cast<uint32_t>(e.value_type);
  out.scale_type = static_cast<uint32_t>(e.scale_type);
  for (size_t i = 0; i < e.radices.size(); i++) out.radices[i] = e.radices[i];
  out.group = e.group;
  out.zero_constant = e.zero_constant;
  out.exponent_bits = e.exponent_bits;
  out.mantissa_bits = e.mantissa_bits;
  out.minifloat = static_cast<uint32_t>(e.minifloat);
  out.exponent_bias = e.exponent_bias;
  out.level_count = e.level_count;
  for (size_t i = 0; i < e.levels.size(); i++) out.levels[i] = e.levels[i];
  return out;
}

template <typename T>
Result<const T*> touched(const sqf_file& file, uint32_t component) {
  if (component == kNone) return static_cast<const T*>(nullptr);
  const auto bytes = file.model.component(component);
  if (auto r = file.model.touch(bytes); !r) return r.error();
  return reinterpret_cast<const T*>(bytes.data());
}

Result<sqf_column_set> describe_set(const sqf_file& file, const ColumnSetRecord& set) {
  const auto list = touched<uint32_t>(file, set.columns);
  if (!list) return list.error();
  sqf_column_set out = {};
  out.kind = static_cast<uint32_t>(set.kind);
  out.quantizer = static_cast<uint32_t>(set.quantizer);
  out.count = set.count;
  out.list = *list;
  out.bits = set.bits;
  out.exponent_bits = set.exponent_bits;
  out.mantissa_bits = set.mantissa_bits;
  out.per_tensor = set.per_tensor;
  out.asymmetric = set.asymmetric;
  out.is_static = set.is_static;
  out.scale = set.scale;
  out.low = set.low;
  return out;
}

/// `shared`: one for all experts.
Result<void> describe_component(const sqf_file& file, uint32_t index, uint64_t experts, bool shared,
                                sqf_component* out) {
  sqf_component described = {};
  if (index != kNone) {
    const auto data = touched<std::byte>(file, index);
    if (!data) return data.error();
    const ComponentRecord& c = file.model.head().directory.components[index];
    described.data = *data;
    described.size = c.size;
    described.expert_bytes = shared ? 0 : c.size / experts;
    described.offset = c.offset;
    described.hash = c.hash;
    described.rows = c.rows;
    described.cols = c.cols;
    described.element = static_cast<uint32_t>(c.element);
    described.packing = static_cast<uint32_t>(c.packing);
  }
  *out = described;
  return {};
}

Error unknown_role(int role) {
  return usage_error("no component has the role " + std::to_string(role) + " here");
}

Result<uint32_t> part_role(const PartRecord& part, int role) {
  if (role >= SQF_ROLE_PLANE && role < SQF_ROLE_PLANE + kMaxPlanes)
    return part.planes[static_cast<size_t>(role)];
  switch (role) {
    case SQF_ROLE_SCALES:
      return part.scales;
    case SQF_ROLE_ROW_FACTORS:
      return part.row_factors;
    case SQF_ROLE_ZEROS:
      return part.zeros;
    case SQF_ROLE_COLUMN_FACTORS:
      return part.column_factors;
    case SQF_ROLE_ROW_SUMS:
      return part.row_sums;
    default:
      return unknown_role(role);
  }
}

Result<uint32_t> tensor_role(const TensorRecord& tensor, int role) {
  switch (role) {
    case SQF_ROLE_BIAS:
      return tensor.bias;
    case SQF_ROLE_LOW_RANK_A:
      return tensor.low_rank_a;
    case SQF_ROLE_LOW_RANK_B:
      return tensor.low_rank_b;
    case SQF_ROLE_LOW_RANK_A_SCALES:
      return tensor.low_rank_a_scales;
    case SQF_ROLE_LOW_RANK_B_SCALES:
      return tensor.low_rank_b_scales;
    default:
      return unknown_role(role);
  }
}

}  // namespace
}  // namespace sqf

using sqf::at_boundary;
using sqf::CallContext;
using sqf::null_argument;
using sqf::Result;

uint32_t sqf_tensor_count(const sqf_file* file) {
  return file == nullptr ? 0 : static_cast<uint32_t>(file->model.tensor_count());
}

sqf_code sqf_get_tensor(const sqf_file* file, uint32_t index, sqf_tensor* tensor,
                        sqf_error* error) {
  return at_boundary(error, [&](CallContext& call) -> Result<void> {
    if (tensor == nullptr) return null_argument("tensor");
    const auto view = sqf::tensor_at(file, index, call);
    if (!view) return view.error();
    *tensor = sqf::describe_tensor(*file, *view);
    return {};
  });
}

sqf_code sqf_find_tensor(const sqf_file* file, const char* name, sqf_tensor* tensor,
                         sqf_error* error) {
  return at_boundary(error, [&](CallContext&) -> Result<void> {
    if (file == nullptr) return null_argument("file");
    if (name == nullptr) return null_argument("name");
    if (tensor == nullptr) return null_argument("tensor");
    const auto view = file->model.find(name);
    if (!view) return sqf::usage_error("no tensor has the name " + sqf::in_quotes(name));
    *tensor = sqf::describe_tensor(*file, *view);
    return {};
  });
}

sqf_code sqf_get_part(const sqf_file* file, uint32_t tensor, uint32_t part, sqf_part* out,
                      sqf_error* error) {
  return at_boundary(error, [&](CallContext& call) -> Result<void> {
    if (out == nullptr) return null_argument("out");
    const auto place = sqf::part_at(file, tensor, part, call);
    if (!place) return place.error();
    sqf_part described = {};
    described.encoding = sqf::describe_encoding(*place->encoding);
    described.encoding_index = place->record->encoding;
    described.set_index = place->record->column_set;
    described.set.kind = SQF_COLUMNS_ALL;
    described.set.count = place->tensor.shape.columns;
    if (const uint32_t input = place->tensor.record->input; input != sqf::kNone) {
      const sqf::InputRecord& record = file->model.head().directory.inputs[input];
      const auto set = sqf::describe_set(*file, record.sets[described.set_index]);
      if (!set) return set.error();
      described.set = *set;
    }
    *out = described;
    return {};
  });
}

sqf_code sqf_get_input(const sqf_file* file, uint32_t input, sqf_input* out, sqf_error* error) {
  return at_boundary(error, [&](CallContext&) -> Result<void> {
    if (file == nullptr) return null_argument("file");
    if (out == nullptr) return null_argument("out");
    const auto& inputs = file->model.head().directory.inputs;
    if (input >= inputs.size())
      return sqf::usage_error("input " + std::to_string(input) + " of " +
                              std::to_string(inputs.size()));
    const sqf::InputRecord& record = inputs[input];
    const auto smooth = sqf::touched<float>(*file, record.smooth);
    if (!smooth) return smooth.error();
    sqf_input described = {};
    described.columns = record.columns;
    described.smooth = *smooth;
    described.smooth_state = static_cast<uint32_t>(record.smooth_state);
    described.set_count = record.set_count;
    for (size_t i = 0; i < record.set_count; i++) {
      const auto set = sqf::describe_set(*file, record.sets[i]);
      if (!set) return set.error();
      described.sets[i] = *set;
    }
    *out = described;
    return {};
  });
}

sqf_code sqf_part_columns(const sqf_file* file, uint32_t tensor, uint32_t part, uint64_t* out,
                          sqf_error* error) {
  return at_boundary(error, [&](CallContext& call) -> Result<void> {
    if (out == nullptr) return null_argument("out");
    const auto place = sqf::part_at(file, tensor, part, call);
    if (!place) return place.error();
    const auto columns = sqf::columns_of(file->model, *place->tensor.record, *place->record);
    if (!columns) return columns.error();
    std::copy(columns->begin(), columns->end(), out);
    return {};
  });
}

sqf_code sqf_part_component(const sqf_file* file, uint32_t tensor, uint32_t part, int role,
                            sqf_component* out, sqf_error* error) {
  return at_boundary(error, [&](CallContext& call) -> Result<void> {
    if (out == nullptr) return null_argument("out");
    const auto place = sqf::part_at(file, tensor, part, call);
    if (!place) return place.error();
    const auto index = sqf::part_role(*place->record, role);
    if (!index) return index.error();
    return sqf::describe_component(*file, *index, place->tensor.shape.experts,
                                   role == SQF_ROLE_COLUMN_FACTORS, out);
  });
}

sqf_code sqf_tensor_component(const sqf_file* file, uint32_t tensor, int role, sqf_component* out,
                              sqf_error* error) {
  return at_boundary(error, [&](CallContext& call) -> Result<void> {
    if (out == nullptr) return null_argument("out");
    const auto view = sqf::tensor_at(file, tensor, call);
    if (!view) return view.error();
    const auto index = sqf::tensor_role(*view->record, role);
    if (!index) return index.error();
    return sqf::describe_component(*file, *index, view->shape.experts, false, out);
  });
}

namespace {

using Decode = Result<void>(const sqf::ModelFile&, const sqf::TensorView&, const sqf::RowRange&,
                            float*);

sqf_code decode_rows(Decode& decode, const sqf_file* file, uint32_t tensor,
                     const sqf::RowRange& rows, float* out, sqf_error* error) {
  return at_boundary(error, [&](CallContext& call) -> Result<void> {
    const auto view = sqf::tensor_at(file, tensor, call);
    if (!view) return view.error();
    if (out == nullptr) return null_argument("out");
    return decode(file->model, *view, rows, out);
  });
}

}  // namespace

sqf_code sqf_dequantize(const sqf_file* file, uint32_t tensor, uint64_t expert, uint64_t row_begin,
                        uint64_t row_count, float* out, sqf_error* error) {
  return decode_rows(sqf::dequantize, file, tensor, {expert, row_begin, row_count}, out, error);
}

sqf_code sqf_effective(const sqf_file* file, uint32_t tensor, uint64_t expert, uint64_t row_begin,
                       uint64_t row_count, float* out, sqf_error* error) {
  return decode_rows(sqf::effective, file, tensor, {expert, row_begin, row_count}, out, error);
}

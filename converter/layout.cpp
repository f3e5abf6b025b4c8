#include "converter/layout.hpp"

#include "format/directory.hpp"

namespace sqf {

InputRecord input_record(const InputPlan& plan, float static_scale) {
  InputRecord record = plain_input(static_cast<uint64_t>(plan.columns));
  const bool stored = plan.smooth == SmoothState::apply || plan.keeps_smooth;
  record.smooth_state = stored ? plan.smooth : SmoothState::none;
  ColumnSetRecord base = set_record(plan.activation);
  base.kind = plan.outliers > 0 ? ColumnKind::rest : ColumnKind::all;
  base.count = static_cast<uint64_t>(plan.base_columns());
  base.columns = kNone;
  base.scale = static_scale;
  record.sets[0] = base;
  if (plan.outliers == 0) return record;
  record.set_count = 2;
  record.sets[1].kind = ColumnKind::list;
  record.sets[1].count = static_cast<uint64_t>(plan.outliers);
  record.sets[1].columns = kNone;
  return record;
}

TensorLayout layout_of(const TensorPlan& plan, uint32_t input) {
  TensorLayout layout;
  layout.name = plan.spec.name;
  layout.shape.assign(plan.source->shape.begin(), plan.source->shape.end());
  layout.input = input;
  layout.parts.push_back({.encoding = plan.encoding, .row_sums = plan.row_sums});
  if (plan.outliers > 0)
    layout.parts.push_back({.column_set = 1, .encoding = real_encoding(Element::f16)});
  layout.rank = static_cast<uint32_t>(plan.low_rank.rank);
  layout.factor_type = plan.low_rank.type == FactorType::i8 ? Element::i8 : Element::f16;
  layout.bias = plan.bias != nullptr;
  return layout;
}

Directory lay_out(const Plan& plan, std::span<const float> static_scales) {
  DirectoryBuilder builder;
  std::vector<uint32_t> records(plan.inputs.size(), kNone);
  for (const TensorPlan& t : plan.tensors) {
    uint32_t input = kNone;
    if (t.spec.input >= 0) {
      const auto index = static_cast<size_t>(t.spec.input);
      if (records[index] == kNone) {
        InputPlan in = plan.inputs[index];
        // A scale is not known before calibration, and a static one is above 0.
        const float scale = in.activation.is_static ? 1.0f : 0.0f;
        records[index] =
            builder.input(input_record(in, static_scales.empty() ? scale : static_scales[index]));
      }
      input = records[index];
    }
    builder.tensor(layout_of(t, input));
  }
  return builder.finish();
}

}  // namespace sqf

#include "converter/round_trip.hpp"

#include "converter/tensor_job.hpp"
#include "format/activation.hpp"

namespace sqf {

Result<void> round_trip(const Plan& plan, std::span<const InputChoice> choices,
                        const TensorPlan& tensor, int threads, std::vector<float>* w) {
  TensorPlan trial = tensor;
  if (trial.method == Method::gptq) trial.method = Method::rtn;
  trial.low_rank.rank = 0;
  const TensorFold fold = fold_of(plan, choices, trial);
  const TensorChoices given = choices_of(trial, fold, choices);
  auto encoded = encode_tensor(trial, given, threads, nullptr);
  if (!encoded) return encoded.error();
  const int64_t rows = tensor.spec.rows, columns = tensor.spec.columns;
  w->resize(static_cast<size_t>(rows * columns));
  decode_tensor(trial, given.outliers, *encoded, w->data());
  unfold(fold, rows, columns, w->data());
  return {};
}

void round_input(const InputPlan& plan, const InputChoice& choice, int64_t tokens, float* x) {
  if (plan.activation.kind == QuantizerKind::none) return;
  ColumnSetRecord set = set_record(plan.activation);
  set.scale = choice.static_scale;
  const std::vector<uint32_t> base = base_columns(plan.columns, choice.outliers);
  std::vector<float> row(base.size());
  // A scale per tensor is that of these tokens together.
  std::vector<ActivationRange> ranges;
  const auto read = [&](int64_t t) {
    for (size_t i = 0; i < base.size(); i++) {
      row[i] = x[t * plan.columns + base[i]];
      if (!choice.smooth.empty()) row[i] /= choice.smooth[base[i]];
    }
  };
  ActivationRange all;
  for (int64_t t = 0; t < tokens; t++) {
    read(t);
    ranges.push_back(range_of(row.data(), static_cast<int64_t>(row.size())));
    all = t == 0 ? ranges[0] : join(all, ranges.back());
  }
  for (int64_t t = 0; t < tokens; t++) {
    read(t);
    const ActivationRange range = set.per_tensor != 0 ? all : ranges[static_cast<size_t>(t)];
    round_activation(set, scale_of(set, range), row.data(), static_cast<int64_t>(row.size()));
    for (size_t i = 0; i < base.size(); i++)
      x[t * plan.columns + base[i]] =
          choice.smooth.empty() ? row[i] : row[i] * choice.smooth[base[i]];
  }
}

}  // namespace sqf

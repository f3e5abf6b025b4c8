#include "converter/input_choices.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "format/activation.hpp"

namespace sqf {
namespace {

/// Largest |w| by column, over the tensors that read the input.
std::vector<double> largest_weights(const Plan& plan, int64_t input, int64_t columns) {
  std::vector<double> largest(static_cast<size_t>(columns));
  std::vector<float> rows(static_cast<size_t>(kTileRows * columns));
  for (const TensorPlan& t : plan.tensors) {
    if (t.spec.input != input) continue;
    for (int64_t row = 0; row < t.spec.rows; row += kTileRows) {
      const int64_t count = std::min<int64_t>(kTileRows, t.spec.rows - row);
      read_rows(*t.source, row, count, rows.data());
      for (int64_t i = 0; i < count * columns; i++) {
        double& top = largest[static_cast<size_t>(i % columns)];
        top = std::max(top, std::abs(static_cast<double>(rows[static_cast<size_t>(i)])));
      }
    }
  }
  return largest;
}

/// The input that the tensor's own output feeds after folding, or -1.
int64_t produced_input(const Plan& plan, const TensorSpec& spec) {
  for (const Site& site : smoothing_sites()) {
    const int64_t input = 4 * spec.layer + site.index;
    if (spec.layer >= 0 && spec.role == site.producer &&
        plan.inputs[static_cast<size_t>(input)].smooth == SmoothState::folded)
      return input;
  }
  return -1;
}

}  // namespace

ChannelSizes channel_sizes(const Plan& plan, const InputStatistics& statistics, int64_t input) {
  const InputPlan& in = plan.inputs[static_cast<size_t>(input)];
  ChannelSizes sizes;
  sizes.abs_max.assign(statistics.abs_max.begin(), statistics.abs_max.end());
  sizes.mean_abs = statistics.mean_abs;
  sizes.weight = largest_weights(plan, input, in.columns);
  if (in.site->producer == Role::v && in.smooth == SmoothState::folded)
    pool_heads(plan.description, &sizes);
  return sizes;
}

void choose_columns(const InputPlan& plan, const InputStatistics& statistics, InputChoice* choice) {
  std::vector<float> size = statistics.abs_max;
  for (size_t k = 0; k < choice->smooth.size(); k++) size[k] /= choice->smooth[k];
  std::vector<uint32_t> order(size.size());
  std::iota(order.begin(), order.end(), 0u);
  std::ranges::stable_sort(order, [&](uint32_t a, uint32_t b) { return size[a] < size[b]; });
  const auto base = order.begin() + plan.base_columns();
  choice->outliers.assign(base, order.end());
  std::ranges::sort(choice->outliers);
  choice->static_scale = 0;
  if (!plan.activation.is_static) return;
  const float top = size[*std::prev(base)];
  choice->static_scale = std::max(top, 1e-5f) / largest_element(set_record(plan.activation));
}

TensorFold fold_of(const Plan& plan, std::span<const InputChoice> choices,
                   const TensorPlan& tensor) {
  TensorFold fold;
  const TensorSpec& spec = tensor.spec;
  if (tensor.importance) fold.importance = *tensor.importance;
  if (spec.input >= 0) {
    fold.columns = choices[static_cast<size_t>(spec.input)].smooth;
    for (size_t k = 0; k < fold.columns.size() && !fold.importance.empty(); k++)
      fold.importance[k] /= fold.columns[k] * fold.columns[k];
  }
  const int64_t produced = produced_input(plan, spec);
  if (produced < 0) return fold;
  const std::vector<float>& smooth = choices[static_cast<size_t>(produced)].smooth;
  if (smooth.empty()) return fold;
  if (spec.role == Role::v)
    fold.rows = value_rows(plan.description, smooth);
  else if (spec.role == Role::up)
    fold.rows = smooth;
  else
    for (const float factor : smooth) fold.columns.push_back(1 / factor);  // of the norm before
  return fold;
}

void unfold(const TensorFold& fold, int64_t rows, int64_t columns, float* w) {
  for (int64_t row = 0; row < rows; row++)
    for (int64_t k = 0; k < columns; k++) {
      float& value = w[row * columns + k];
      if (!fold.rows.empty()) value *= fold.rows[static_cast<size_t>(row)];
      if (!fold.columns.empty()) value /= fold.columns[static_cast<size_t>(k)];
    }
}

std::vector<uint32_t> base_columns(int64_t columns, std::span<const uint32_t> outliers) {
  std::vector<uint32_t> base;
  size_t next = 0;
  for (uint32_t k = 0; k < static_cast<uint32_t>(columns); k++) {
    if (next < outliers.size() && outliers[next] == k)
      next++;
    else
      base.push_back(k);
  }
  return base;
}

Json choices_json(const Plan& plan, std::span<const InputChoice> choices) {
  Json list = Json::array();
  for (size_t i = 0; i < choices.size(); i++) {
    const InputPlan& in = plan.inputs[i];
    const InputChoice& choice = choices[i];
    if (in.smooth == SmoothState::none && in.outliers == 0 && !in.activation.is_static) continue;
    Json entry = {{"layer", in.layer}, {"site", in.site != nullptr ? in.site->name : "head"}};
    if (in.smooth != SmoothState::none) {
      entry["alpha"] = choice.alpha;
      entry["smoothing"] = in.smooth == SmoothState::folded ? "folded" : "applied";
      if (choice.loss_before > 0)
        entry["loss"] = {{"before", choice.loss_before}, {"after", choice.loss_after}};
    }
    if (in.outliers > 0) entry["outliers"] = in.outliers;
    if (in.activation.is_static) entry["scale"] = choice.static_scale;
    list.push_back(std::move(entry));
  }
  return list;
}

}  // namespace sqf

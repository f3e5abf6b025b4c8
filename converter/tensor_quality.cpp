#include "converter/tensor_quality.hpp"

#include <algorithm>
#include <cmath>

namespace sqf {
namespace {

WeightRange range_of_weights(const std::vector<float>& w) {
  std::vector<float> sizes;
  for (const float value : w) sizes.push_back(std::abs(value));
  const auto at = sizes.begin() + static_cast<std::ptrdiff_t>(sizes.size() * 99 / 100);
  std::ranges::nth_element(sizes, at);
  return {*std::max_element(at, sizes.end()), *at};
}

/// Share of the energy that is lost, columns weighed.
double lost(const std::vector<float>& w, const std::vector<float>& rounded,
            const std::vector<float>& importance, size_t columns) {
  double error = 0, energy = 0;
  for (size_t i = 0; i < w.size(); i++) {
    const double weight = importance.empty() ? 1 : static_cast<double>(importance[i % columns]);
    const double off = static_cast<double>(w[i]) - static_cast<double>(rounded[i]);
    error += weight * off * off;
    energy += weight * static_cast<double>(w[i]) * static_cast<double>(w[i]);
  }
  return energy > 0 ? error / energy : 0;
}

}  // namespace

Result<TensorQuality> measure_tensor(const TensorPlan& plan, const TensorFold& fold,
                                     const TensorChoices& choices, const EncodedTensor& encoded,
                                     int threads) {
  const int64_t rows = plan.spec.rows, columns = plan.spec.columns;
  std::vector<float> w(static_cast<size_t>(rows * columns)), rounded(w.size());
  read_rows(*plan.source, 0, rows, w.data());
  const std::vector<float> importance = plan.importance ? *plan.importance : std::vector<float>();
  TensorQuality out;
  out.weighed = !importance.empty();
  out.range_before = range_of_weights(w);

  decode_tensor(plan, choices.outliers, encoded, rounded.data());
  unfold(fold, rows, columns, rounded.data());
  out.after = lost(w, rounded, importance, static_cast<size_t>(columns));

  TensorPlan plain = plan;
  plain.method = Method::rtn;
  plain.range = Range::minmax;
  plain.outliers = 0;
  plain.low_rank.rank = 0;
  plain.row_sums = false;
  auto again = encode_tensor(plain, {}, threads, nullptr);
  if (!again) return again.error();
  decode_tensor(plain, {}, *again, rounded.data());
  out.before = lost(w, rounded, importance, static_cast<size_t>(columns));

  for (int64_t row = 0; row < rows; row++)
    for (int64_t k = 0; k < columns; k++) {
      float& value = w[static_cast<size_t>(row * columns + k)];
      if (!fold.columns.empty()) value *= fold.columns[static_cast<size_t>(k)];
      if (!fold.rows.empty()) value /= fold.rows[static_cast<size_t>(row)];
    }
  out.range_after = range_of_weights(w);
  return out;
}

}  // namespace sqf

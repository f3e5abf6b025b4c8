#pragma once
// What calibration decided about each activation: smoothing factors, outlier columns, static
// scales. Made from statistics of the float model before the first byte is written, so that the
// layout of the file and what CALB says are known.

#include <span>
#include <vector>

#include "converter/plan.hpp"

namespace sqf {

/// One activation, by TensorSpec::input.
struct InputChoice {
  std::vector<float> smooth;       ///< [K] the activation is divided by this; empty: it is not
  std::vector<uint32_t> outliers;  ///< ascending
  float static_scale = 0;          ///< of the other columns; 0: dynamic
  double alpha = 0;                ///< where it is smoothed
  double loss_before = 0, loss_after = 0;  ///< of the search; both 0: alpha was given
};

/// What the formulas of smoothing take of one input: its statistics, and its readers' weights.
ChannelSizes channel_sizes(const Plan& plan, const InputStatistics& statistics, int64_t input);

/// The outlier columns: those that are largest once smoothed. And the static scale of the others.
void choose_columns(const InputPlan& plan, const InputStatistics& statistics, InputChoice* choice);

/// What happens to one tensor's weights before they are rounded.
struct TensorFold {
  std::vector<float> columns;     ///< [K] each column times this; empty: as it is
  std::vector<float> rows;        ///< [N] each row divided by this; empty: as it is
  std::vector<float> importance;  ///< [K] weights of squared errors, folded; empty: all 1
};
TensorFold fold_of(const Plan& plan, std::span<const InputChoice> choices,
                   const TensorPlan& tensor);

/// w [rows][columns] of the folded tensor, as the source's own weights would stand for it.
void unfold(const TensorFold& fold, int64_t rows, int64_t columns, float* w);

/// The columns of an input that are no outliers, ascending as those are.
std::vector<uint32_t> base_columns(int64_t columns, std::span<const uint32_t> outliers);

/// What calibration chose, for CALB: by input, with what the search lost before and after.
Json choices_json(const Plan& plan, std::span<const InputChoice> choices);

}  // namespace sqf

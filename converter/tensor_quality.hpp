#pragma once
// What rounding did to one tensor, for a report: how wrong its outputs become, channels of the
// input taken as uncorrelated, beside what plain rounding at the same encoding would have cost.

#include "converter/tensor_job.hpp"

namespace sqf {

struct WeightRange {
  float abs_max = 0, q99 = 0;  ///< of |w|
};

struct TensorQuality {
  double before = 0, after = 0;           ///< squared errors by importance, as shares of the energy
  bool weighed = false;                   ///< importance is known; else all channels count alike
  WeightRange range_before, range_after;  ///< of the source's weights, and of the folded ones
};

/// A coded tensor; reads it twice and rounds it once more. Errors: as encode_tensor.
Result<TensorQuality> measure_tensor(const TensorPlan& plan, const TensorFold& fold,
                                     const TensorChoices& choices, const EncodedTensor& encoded,
                                     int threads);

}  // namespace sqf

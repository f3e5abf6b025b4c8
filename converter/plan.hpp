#pragma once
// What will be done to each tensor, decided and checked before any work starts: which encoding,
// by which method, how many bytes. Refuses models whose tensors are not those their config asks
// for; touches no weight.

#include <memory>
#include <string>
#include <vector>

#include "converter/calibration/statistics.hpp"
#include "converter/quant_spec.hpp"
#include "converter/source.hpp"
#include "model/description.hpp"

namespace sqf {

struct PlanOptions {
  QuantSpec linear;                 ///< the matrices inside the layers
  QuantSpec head = {.bits = 8};     ///< embedding and head
  std::vector<EncodingRule> rules;  ///< the last that matches wins; vectors are never rounded
  bool allow_requantize = false;    ///< rounding what is quantized already
  /// Of this model: errors count by how large their input is. Null: all alike.
  const Statistics* statistics = nullptr;
};

struct TensorPlan {
  TensorSpec spec;
  const SourceTensor* source = nullptr;
  const SourceTensor* bias = nullptr;  ///< null: none
  Method method = Method::none;
  Range range = Range::search;
  EncodingRecord encoding = {};
  uint64_t bytes = 0;  ///< stored, padding included
  /// Weights of squared errors by column, for the range search; null: all 1.
  std::shared_ptr<const std::vector<float>> importance;
};

/// Statistics would serve it: its ranges are searched for, and what it reads is known.
bool wants_statistics(const TensorPlan& tensor);

struct Plan {
  ModelDescription description;
  std::vector<TensorPlan> tensors;  ///< in the order of the file
  uint64_t source_bytes = 0, stored_bytes = 0;
};

/// Errors: malformed (missing, extra or misshapen tensors, all named), usage (a rule that matches
/// nothing, requantizing without leave, statistics of another model), unsupported. `source`
/// must outlive the plan.
Result<Plan> make_plan(const SourceModel& source, const PlanOptions& options);

/// One line per kind of tensor and encoding, with counts, bytes and bits per weight.
std::string plan_text(const Plan& plan);
Json plan_json(const Plan& plan);

}  // namespace sqf

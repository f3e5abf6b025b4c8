#pragma once
// What will be done to each tensor, decided and checked before any work starts: which encoding,
// by which method, how many bytes. Refuses models whose tensors are not those their config asks
// for; touches no weight.

#include <memory>
#include <string>
#include <vector>

#include "converter/calibration/statistics.hpp"
#include "converter/methods/low_rank.hpp"
#include "converter/quant_spec.hpp"
#include "converter/smoothing.hpp"
#include "converter/source.hpp"
#include "model/description.hpp"

namespace sqf {

struct PlanOptions {
  QuantSpec linear;              ///< the matrices inside the layers
  QuantSpec head = {.bits = 8};  ///< embedding and head
  /// The last that matches wins; vectors are never rounded. A method's own come first, and need not
  /// match.
  std::vector<EncodingRule> rules;
  size_t method_rules = 0;  ///< so many of them
  SmoothingSpec smoothing;
  LowRankOptions low_rank;  ///< of every pair; the rank is the tensor's own
  bool weigh_low_rank = true;
  bool allow_requantize = false;  ///< rounding what is quantized already
  /// Of this model: errors count by how large their input is. Null: all alike.
  const Statistics* statistics = nullptr;
};

/// What happens to one activation, before any number of it is known.
struct InputPlan {
  int64_t layer = -1;  ///< -1: the head's
  int64_t columns = 0;
  const Site* site = nullptr;  ///< null: the head's
  SmoothState smooth = SmoothState::none;
  bool keeps_smooth = false;  ///< folded factors are stored all the same
  int64_t outliers = 0;       ///< columns that stay in f16, and read the activation as it is
  ActivationSpec activation;  ///< of the other columns

  int64_t base_columns() const { return columns - outliers; }
};

struct TensorPlan {
  TensorSpec spec;
  const SourceTensor* source = nullptr;
  const SourceTensor* bias = nullptr;  ///< null: none
  Method method = Method::none;
  Range range = Range::search;
  EncodingRecord encoding = {};           ///< of all columns, or of those that are no outliers
  int64_t outliers = 0;                   ///< columns of its input in a second part, in f16
  bool row_sums = false;                  ///< stored for activations with an offset
  LowRankOptions low_rank = {.rank = 0};  ///< rank 0: none
  bool weigh_low_rank = false;            ///< by importance, where that is known
  uint64_t bytes = 0;  ///< stored, padding included; without what belongs to its input
  /// Weights of squared errors by column, for the range search; null: all 1.
  std::shared_ptr<const std::vector<float>> importance;
};

/// Statistics would serve it: its ranges are searched for, or it has a low-rank pair that is to be
/// weighed, and what it reads is known.
bool wants_statistics(const TensorPlan& tensor);

/// Sums over what it reads are gathered while converting: by GPTQ, or by the clip search.
bool wants_forward(const TensorPlan& tensor);

struct Plan {
  ModelDescription description;
  std::vector<TensorPlan> tensors;  ///< in the order of the file
  std::vector<InputPlan> inputs;    ///< by TensorSpec::input
  SmoothingSpec smoothing;
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

#pragma once
// One tensor from source rows to stored components: folds, the split into parts, codes, low-rank
// pair, row sums. Tiles are shared out over threads; the bytes do not depend on how many.

#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "converter/input_choices.hpp"
#include "converter/methods/gptq.hpp"

namespace sqf {

/// What was decided about one tensor before it is rounded. Spans outlive the job.
struct TensorChoices {
  std::span<const float> columns;       ///< [K] each column times this; empty: as it is
  std::span<const float> rows;          ///< [N] each row, and its bias, divided by this
  std::span<const float> importance;    ///< [K] weights of squared errors; empty: all 1
  std::span<const uint32_t> outliers;   ///< ascending; columns of the second part
  const GptqInput* gptq = nullptr;      ///< Method::gptq only
  std::span<const float> grams;         ///< as QuantizeOptions; Range::clip only
  std::vector<float> low_rank_weights;  ///< [K] for the low-rank pair; empty: all 1
};

/// From what was decided for its input; `fold` must outlive them.
TensorChoices choices_of(const TensorPlan& plan, const TensorFold& fold,
                         std::span<const InputChoice> inputs);

/// The components of a tensor, in the order of the file.
struct EncodedTensor {
  std::vector<PartBuffers> parts;   ///< the coded columns, then the outliers
  std::vector<std::byte> row_sums;  ///< of the first part; empty: none
  std::optional<LowRankPair> low_rank;
  std::vector<float> bias;  ///< empty: none
  QuantizeStats stats;

  std::vector<std::span<const std::byte>> components() const;
};

/// One with room for every component that the plan asks for, all of it 0.
EncodedTensor room_for(const TensorPlan& plan);

/// Calls `go_on` between tiles on the caller's thread with the share that is done; false stops the
/// work: what comes back is not complete then. Errors: malformed (values that are not finite:
/// tensor, row, column), io (out of memory).
Result<EncodedTensor> encode_tensor(const TensorPlan& plan, const TensorChoices& choices,
                                    int threads, const std::function<bool(double)>& go_on);

/// The weights that the components stand for, w [N][K], in the coordinates of the folded tensor.
void decode_tensor(const TensorPlan& plan, std::span<const uint32_t> outliers,
                   const EncodedTensor& tensor, float* w);

}  // namespace sqf

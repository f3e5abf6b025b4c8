#pragma once
// The Hessians that GPTQ rounds by, and the blocks of them that the clip search judges by, gathered
// layer by layer in step with the conversion: behind the weights that were rounded before (or the
// source's own), on calibration windows. One block and the windows' streams are in memory, and one
// Gram matrix.

#include <filesystem>
#include <memory>
#include <optional>
#include <span>

#include "converter/calibration/windows.hpp"
#include "converter/input_choices.hpp"
#include "converter/methods/gptq.hpp"
#include "converter/tensor_job.hpp"

namespace sqf {

class Journal;

struct HessianOptions {
  int threads = 1;
  bool behind_rounded = true;   ///< false: behind the source's own weights
  GptqOptions gptq;             ///< the order is that of inputs without outliers
  std::function<bool()> go_on;  ///< asked on the caller's thread between windows
  /// Where streams are kept at the start of each layer, and taken up again; null: nowhere.
  Journal* journal = nullptr;
  std::filesystem::path spill = {};  ///< of the windows' streams; empty: in memory
};

class HessianWalk {
 public:
  /// All arguments must outlive this. Errors: as Windows::embed.
  static Result<std::unique_ptr<HessianWalk>> create(const SourceModel& source, const Plan& plan,
                                                     std::span<const InputChoice> choices,
                                                     const CalibrationTokens& tokens,
                                                     const HessianOptions& options);

  /// For the readers of one input, in its folded coordinates; valid until the next call. Inputs are
  /// asked for in ascending order, tensors before them were put. Errors: malformed, interrupted.
  Result<const GptqInput*> input(int64_t input);

  /// X^T X over each group of so many coded columns, [size][size] one behind another, as a mean
  /// over tokens; of the same input, as long, in the same order of calls.
  Result<std::span<const float>> blocks(int64_t input, int64_t group);

  /// A tensor of the current layer as it was rounded. Those of layers before the one that the
  /// streams were taken up at are none of its business.
  Result<void> put(const TensorPlan& tensor, const TensorFold& fold,
                   std::span<const uint32_t> outliers, const EncodedTensor& encoded);

 private:
  HessianWalk(const SourceModel& source, const Plan& plan, std::span<const InputChoice> choices,
              const CalibrationTokens& tokens, const HessianOptions& options)
      : source_(source),
        plan_(plan),
        choices_(choices),
        options_(options),
        context_(plan.description, tokens.length) {}
  Result<void> enter(int64_t layer);
  Result<std::vector<double>> sum(const Summed& summed);
  Result<std::vector<double>> gram(int64_t input);

  const SourceModel& source_;
  const Plan& plan_;
  std::span<const InputChoice> choices_;
  const HessianOptions& options_;
  const BlockContext context_;
  std::optional<Windows> windows_;
  std::optional<Block> block_;
  int64_t start_ = 0;   ///< the layer that the streams were taken up at
  int64_t layer_ = -1;  ///< that block_ is of; the count of layers: the head
  int64_t known_ = -1;  ///< the input that factor_ is of
  GptqInput factor_;
  int64_t blocks_of_ = -1, group_ = 0;  ///< the input and the group that blocks_ are of
  std::vector<float> blocks_;
  std::vector<float> weight_;
};

/// What a tensor is to be rounded by, from the walk; nothing where it wants nothing.
Result<void> prepare(const TensorPlan& tensor, HessianWalk* walk, TensorChoices* choices);

}  // namespace sqf

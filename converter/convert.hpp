#pragma once
// The conversion itself: reads the source tensor by tensor, quantizes tiles on several threads,
// streams the file out. Memory: one tensor's stored bytes and a few tiles per thread.

#include <filesystem>
#include <functional>
#include <string>

#include "converter/input_choices.hpp"
#include "converter/methods/gptq.hpp"
#include "converter/plan.hpp"
#include "converter/tensor_quality.hpp"

namespace sqf {

class Journal;

inline constexpr const char* kWriterName = "sqconv 1.0.0";

struct ConvertOptions {
  int threads = 1;
  bool replace = false;   ///< an existing target may be replaced
  bool quality = false;   ///< measures each tensor for a report, which rounds it once more
  bool compress = false;  ///< META and texts as zstd frames
  /// Called between tiles, on the caller's thread, with source bytes done, all of them, and the
  /// tensor's name; returning false stops the work (Code::interrupted, nothing left behind).
  std::function<bool(uint64_t, uint64_t, const std::string&)> progress;
  /// What calibration decided, by input; empty: nothing was calibrated. Must outlive the call.
  std::span<const InputChoice> choices;
  /// What GPTQ gathers its Hessians on; needed where the plan has tensors of that method.
  const CalibrationTokens* tokens = nullptr;
  /// Of this very work: what it has is taken from there, what is made goes there, and it is removed
  /// once the file is in place. Null: none is kept.
  Journal* journal = nullptr;
  std::filesystem::path spill = {};  ///< of the windows' streams (WindowStore); empty: in memory
  GptqOptions gptq;                  ///< the order is that of inputs without outliers
  bool behind_rounded = true;  ///< Hessians behind the rounded weights, or behind the source's
  Json recipe;                 ///< goes into META's "quantization": what was asked for
  Json calibration;            ///< becomes CALB: where the plan's statistics come from; null: none
};

struct TensorReport {
  std::string name;
  QuantizeStats stats;
  std::optional<TensorQuality> quality;            ///< of coded tensors, where it was asked for
  double low_rank_before = 0, low_rank_after = 0;  ///< squared errors; where there is a pair
};

struct ConvertReport {
  uint64_t file_bytes = 0;
  std::vector<TensorReport> tensors;
};

/// Same source, plan and recipe give the same bytes, whatever the CPU and thread count. Errors:
/// malformed (NaN or infinite weight: tensor, row, column), io, interrupted. A thread that the
/// system does not give is done without.
Result<ConvertReport> convert(const SourceModel& source, const Plan& plan,
                              const std::filesystem::path& target, const ConvertOptions& options);

}  // namespace sqf

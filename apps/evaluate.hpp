#pragma once
// How good a converted file is: the source model in f32, run by the converter's blocks, against
// the written file, run by the runtime, over the same windows of a text. Windows are counted as
// bench/windows.py does: the first ones of the chosen lines, without overlap, the first token of
// each unscored. Refuses texts that are empty, not UTF-8 or too short, and a file of another model.

#include <filesystem>
#include <functional>

#include "converter/source.hpp"
#include "model/description.hpp"

namespace sqf {

struct EvaluateOptions {
  int threads = 1;
  bool exact = false;                          ///< the runtime's f32 activations
  int64_t window = 512;                        ///< tokens
  int64_t windows = 64;                        ///< fewer where the text has fewer
  int first_percent = 60, last_percent = 100;  ///< of the lines
  uint64_t memory_limit = uint64_t{8} << 30;   ///< for the source's part; 0: none
  /// Asked on the caller's thread, now and then, with steps done and all of them; false stops the
  /// work (Code::interrupted).
  std::function<bool(uint64_t, uint64_t)> progress;
};

/// Bytes that the source's part takes: all hidden states, the largest block or the head, buffers.
uint64_t evaluation_memory(const ModelDescription& description, const EvaluateOptions& options);

/// The "evaluation" object of a report (quality_report.hpp). Errors: io, malformed (text, tensors,
/// file, logits that are not finite), usage (text, options, memory, another model), unsupported,
/// interrupted.
Result<Json> evaluate(const SourceModel& source, const std::filesystem::path& file,
                      const std::filesystem::path& text, const EvaluateOptions& options);

}  // namespace sqf

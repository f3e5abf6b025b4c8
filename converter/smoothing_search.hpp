#pragma once
// The exponent of each smoothing vector, chosen by what rounding costs the model on calibration
// text: site by site, by the error of what a block adds to the stream (SmoothQuant, AWQ), or once
// for the model, by the error of its last hidden state (SmoothQuant+). No smoothing at all is
// always among the candidates, so a search never ends behind plain rounding.

#include <filesystem>

#include "converter/calibration/text.hpp"
#include "converter/input_choices.hpp"

namespace sqf {

class Journal;

struct SearchOptions {
  int threads = 1;
  /// Where each site's choice is kept, and taken from; null: nowhere.
  Journal* journal = nullptr;
  std::filesystem::path spill = {};  ///< of what windows carry (WindowStore); empty: in memory
  /// Asked on the caller's thread with steps done and all of them; false stops the work.
  std::function<bool(uint64_t, uint64_t)> progress;
};

/// Everything that the plan's inputs need to have decided: smoothing vectors, outlier columns,
/// static scales, by TensorSpec::input. `windows` are those that the search measures on; unused
/// where alpha is given. Errors: malformed (tensors, losses that are not finite), interrupted.
Result<std::vector<InputChoice>> choose_inputs(const SourceModel& source, const Plan& plan,
                                               const Statistics& statistics,
                                               const CalibrationTokens& windows,
                                               const SearchOptions& options);

}  // namespace sqf

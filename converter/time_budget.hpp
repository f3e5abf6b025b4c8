#pragma once
// How long a conversion will take, judged by trying its first layer on a few windows of its text:
// what grows with the text, and what does not. An estimate: layers are alike, machines are not
// steady.

#include "converter/calibration/text.hpp"
#include "converter/methods/gptq.hpp"
#include "converter/plan.hpp"

namespace sqf {

struct WorkTime {
  double fixed = 0, per_window = 0;  ///< seconds

  double of(int64_t windows) const { return fixed + per_window * static_cast<double>(windows); }
};

struct WorkTimeOptions {
  int threads = 1;
  bool statistics = false;     ///< they are gathered, too
  int64_t search_windows = 0;  ///< that searches measure on
  GptqOptions gptq;
};

/// Takes the first layer through all that the plan asks for, on a few of the windows and on twice
/// as many. Errors: as of the conversion.
Result<WorkTime> time_work(const SourceModel& source, const Plan& plan,
                           const CalibrationTokens& tokens, const WorkTimeOptions& options);

/// "90s", "10m", "1h30m" in seconds. Errors: usage.
Result<double> parse_duration(const std::string& words);

}  // namespace sqf

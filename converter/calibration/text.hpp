#pragma once
// Calibration tokens: windows of a text, tokenized by the model's own tokenizer. Refuses texts
// that are empty, not UTF-8 or too short for one window, and models without a tokenizer. Lines and
// windows are counted as bench/windows.py does, so that what was calibrated on can be told from
// what is measured on.

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "format/json.hpp"
#include "format/result.hpp"

namespace sqf {

struct CalibrationOptions {
  int64_t length = 512;    ///< tokens of a window
  int64_t tokens = 32768;  ///< in all, as whole windows; fewer where the text has fewer
  int first_percent = 0, last_percent = 100;  ///< of the lines
  std::string purpose = "calibration";        ///< what errors call the text
};

/// Where the tokens come from.
struct CalibrationText {
  std::string name;                                 ///< of the file, without folder
  uint64_t bytes = 0, hash = 0;                     ///< of the whole text; XXH3-64
  int first_percent = 0, last_percent = 100;        ///< of the lines
  int64_t first_line = 0, end_line = 0, lines = 0;  ///< [first_line, end_line) of so many
  int64_t tokens = 0;                               ///< that those lines have

  bool operator==(const CalibrationText&) const = default;
};

struct CalibrationTokens {
  CalibrationText text;
  int64_t windows = 0, length = 0;
  std::vector<int32_t> ids;  ///< [windows][length]

  std::span<const int32_t> window(int64_t index) const {
    return std::span(ids).subspan(static_cast<size_t>(index * length), static_cast<size_t>(length));
  }
  /// So many of its windows, at least one and at most all, spread evenly.
  CalibrationTokens thinned(int64_t count) const;
};

/// "0:60" -> 0 and 60. Errors: usage.
Result<void> parse_lines(const std::string& words, CalibrationOptions* options);

/// The windows are spread evenly over the tokens of the chosen lines, and do not overlap. Errors:
/// usage (empty, too short, impossible options), malformed (not UTF-8), unsupported (tokenizer),
/// each with `name`.
Result<CalibrationTokens> calibration_tokens(const std::string& tokenizer_json,
                                             const std::string& text, const std::string& name,
                                             const CalibrationOptions& options);

/// The same from a file. Errors: io, too.
Result<CalibrationTokens> read_calibration(const std::string& tokenizer_json,
                                           const std::filesystem::path& path,
                                           const CalibrationOptions& options);

/// What CALB and META say of it.
Json text_to_json(const CalibrationText& text);
/// Errors: malformed, with the field's name.
Result<CalibrationText> text_from_json(const Json& json);

}  // namespace sqf

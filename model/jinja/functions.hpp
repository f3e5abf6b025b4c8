#pragma once
// The clock behind strftime_now, apart so that it can be tested at a fixed time.

#include <ctime>
#include <string>

namespace sqf {

/// Formats as Python's strftime does on a time without a zone: %z and %Z give nothing, %f six
/// digits. False where the result would exceed 4 KiB.
bool jinja_format_time(const std::string& format, const std::tm& time, int microseconds,
                       std::string& result);

}  // namespace sqf

#pragma once
// Numbers and string escapes, as in Python.

#include <cstdint>
#include <string>
#include <string_view>

#include "format/result.hpp"

namespace sqf {

/// Refuses incomplete escapes and code points that no UTF-8 text holds.
Result<std::string> jinja_unescape(std::string_view body);

struct JinjaNumber {
  size_t end = 0;  ///< byte behind it
  bool is_float = false;
  int64_t integer = 0;
  double floating = 0;
};

/// Reads the number that begins at the digit at `at`. Refuses integers beyond 64 bits.
Result<JinjaNumber> jinja_read_number(std::string_view source, size_t at);

/// Reads a whole string as a float; beyond the range of a double it is infinite or zero.
bool jinja_read_double(const std::string& text, double& result);

}  // namespace sqf

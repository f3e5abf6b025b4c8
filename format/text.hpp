#pragma once
// UTF-8 as the format asks for it: shortest forms only, no surrogates, nothing past U+10FFFF.
// Checking it, walking over it, and showing text from outside in a message without control
// characters reaching a terminal.

#include <concepts>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace sqf {

/// Offset of the first byte that is not part of a valid code point; nothing if all are. NUL is one.
std::optional<size_t> find_invalid_utf8(std::string_view text);

inline bool is_utf8(std::string_view text) {
  return !find_invalid_utf8(text);
}

/// How many bytes at the front of `bytes` can be shown for good. `valid`: they are whole code
/// points. Otherwise they can never become one, and stand for one U+FFFD. No bytes: what there is
/// may still become a code point.
struct Utf8Run {
  size_t n_bytes = 0;
  bool valid = true;
};
Utf8Run next_utf8_run(std::string_view bytes);

/// The code point that starts at `at`; moves `at` behind it. Precondition: `text` is UTF-8 and
/// `at` is where a code point starts.
char32_t next_char(std::string_view text, size_t& at);

/// The code point that ends at `at`; moves `at` before it. Same precondition.
char32_t previous_char(std::string_view text, size_t& at);

void append_utf8(std::string& out, char32_t code);

std::string decimal(std::integral auto value) {
  return std::to_string(value);
}

/// `text` in double quotes; control characters and bytes that are not UTF-8 as \xNN, quotes and
/// backslashes behind a backslash, cut after 80 bytes with "...".
std::string in_quotes(std::string_view text);

}  // namespace sqf

#pragma once
// Text from outside: is it UTF-8, and how it is shown in a message without control characters
// reaching a terminal.

#include <string>
#include <string_view>

namespace sqf {

/// Well-formed UTF-8: no overlong forms, surrogates or values beyond U+10FFFF. NUL is allowed.
bool is_utf8(std::string_view text);

/// `text` in double quotes; control characters, quotes and bytes that are not UTF-8 as \xNN, cut
/// after 80 bytes with "...".
std::string in_quotes(std::string_view text);

}  // namespace sqf

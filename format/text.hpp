#pragma once
// UTF-8 as the format asks for it: shortest forms only, no surrogates, nothing past U+10FFFF.

#include <cstddef>
#include <string_view>

namespace sqf {

/// Bytes of the code point at the start of `text`, 0 if none is valid there.
size_t utf8_length(std::string_view text);

/// Offset of the first byte that is not part of a valid code point; npos if all are.
size_t utf8_error(std::string_view text);

}  // namespace sqf

#pragma once
// The alphabet of byte-level tokenizers: each of the 256 bytes as one printable character, those
// that print as themselves, the others as U+0100 and up in order.

#include <optional>
#include <string>
#include <string_view>

namespace sqf {

/// Appends the characters of the bytes of `text`.
void append_byte_level(std::string& out, std::string_view text);

/// The bytes that the characters of `token` stand for; nothing if one of them stands for none.
std::optional<std::string> bytes_of_byte_level(std::string_view token);

}  // namespace sqf

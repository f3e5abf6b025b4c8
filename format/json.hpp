#pragma once
// Strict JSON: the one door through which JSON from outside enters. Refuses what other readers
// differ on: duplicate keys, a byte order mark, deep nesting, bytes after the value, text that is
// not UTF-8, numbers that overflow a double. Parsing is nlohmann-json's.

#include <nlohmann/json.hpp>
#include <string_view>

#include "format/result.hpp"

namespace sqf {

using Json = nlohmann::json;

/// Parses one JSON value that fills `text`. `what` names the source in errors ("config.json").
/// Objects and arrays may nest `max_depth` deep. Safe on hostile input; memory stays
/// proportional to the text. Errors: malformed, with the byte offset.
Result<Json> parse_json(std::string_view text, std::string_view what, size_t max_depth = 16);

}  // namespace sqf

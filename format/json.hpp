#pragma once
// Strict JSON: the one door through which JSON from outside enters. Refuses what other readers
// differ on: duplicate keys, a byte order mark, deep nesting, bytes after the value, text that is
// not UTF-8, numbers that overflow a double. Parsing is nlohmann-json's.

#include <nlohmann/json.hpp>
#include <string_view>

#include "format/result.hpp"

namespace sqf {

using Json = nlohmann::json;

/// How large a tree may be. A value can cost a hundred bytes of memory and two of text, so texts
/// from outside are bounded by their values.
struct JsonLimits {
  size_t depth = 16;                ///< objects and arrays open at once
  size_t values = size_t{1} << 20;  ///< of any type, containers included
};

/// Parses one JSON value that fills `text`. `what` names the source in errors ("config.json").
/// Safe on hostile input. Errors: malformed, with the byte offset.
Result<Json> parse_json(std::string_view text, std::string_view what, JsonLimits limits = {});

}  // namespace sqf

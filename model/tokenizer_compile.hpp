#pragma once
// From tokenizer.json to the tables of spec/tokenizer.md. What comes out depends on the text alone.

#include <string>
#include <string_view>

#include "format/result.hpp"
#include "model/tokenizer_json.hpp"

namespace sqf {

/// The bytes of the section TOKB for a tokenizer.json. Asks of the text only what the tables need:
/// whether this build implements the pipeline around them, Tokenizer::from_tables says. Safe on
/// hostile input. Errors: malformed, with the key path; unsupported for models other than BPE and
/// for tables too large for a section.
Result<std::string> compile_tokenizer(std::string_view tokenizer_json);

/// The same of a text that has been read, with `rest` as the text beside the tables.
Result<std::string> compile_tables(const TokenizerJson& json, std::string_view rest);

}  // namespace sqf

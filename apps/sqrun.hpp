#pragma once
// The commands of sqrun. Each parses its own arguments and returns an exit code.

#include <string>

#include "format/result.hpp"

namespace sqf {

/// A whole file, pipes included. Errors: io.
Result<std::string> read_input(const std::string& path);

/// Errors (malformed): `text` is not UTF-8, with `what` and the offset.
Result<void> check_text(const std::string& text, const std::string& what);

int run_generate(int argc, char** argv);    ///< sqrun MODEL -p TEXT, --chat, -i
int run_bench(int argc, char** argv);       ///< sqrun bench MODEL
int run_perplexity(int argc, char** argv);  ///< sqrun ppl MODEL TEXT

}  // namespace sqf

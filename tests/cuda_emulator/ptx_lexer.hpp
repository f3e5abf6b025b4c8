#pragma once

// PTX text to tokens. Comments are dropped, and so are the lines of .loc and .file, which end
// without a semicolon.

#include <string_view>
#include <vector>

namespace sqf {

struct Token {
  enum class Kind { word, number, text, mark, end } kind = Kind::end;
  std::string_view text;  // into the source
  int line = 0;
};

/// The last token is `end`. A character that starts no token becomes a mark of its own.
std::vector<Token> lex_ptx(std::string_view source);

}  // namespace sqf

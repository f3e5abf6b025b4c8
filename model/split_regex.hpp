#pragma once
// The regular expressions by which published tokenizers cut text into words, each written out by
// hand. A pattern is known by its exact text; there is no regular expression engine here, and so
// nothing a file can say that takes more than linear time.

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "model/unicode.hpp"

namespace sqf {

/// One alternative of a pattern: the end of its match at code point `at`, or `at` if there is none.
using Alternative = uint32_t (*)(const Chars& text, uint32_t at);

/// Alternatives in order; the first that matches wins.
struct SplitRegex {
  std::string_view pattern;
  std::span<const Alternative> alternatives;
};

/// A stretch of text in code points: a match, or what lies between two matches.
struct Span {
  uint32_t begin = 0;
  uint32_t end = 0;
  bool is_match = false;
};

/// nullptr if the pattern is not one of the known ones.
const SplitRegex* find_split_regex(std::string_view pattern);

/// The pattern of ByteLevel(use_regex).
const SplitRegex& byte_level_regex();

/// Spans that cover `text` from left to right, none empty. Replaces what `out` held.
void match_all(const SplitRegex& regex, const Chars& text, std::vector<Span>& out);

}  // namespace sqf

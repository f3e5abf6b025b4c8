#pragma once
// Template source to tokens, with white space control as chat templates expect it: the first line
// end after a block tag goes, blanks between a line's start and a block tag go, and so does one
// line end at the end of the source. Refuses unbalanced brackets, unfinished tags and strings, and
// text that is not UTF-8.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "format/result.hpp"

namespace sqf {

struct JinjaToken {
  enum class Kind : uint8_t {
    data,
    block_begin,
    block_end,
    print_begin,
    print_end,
    name,
    string,
    integer,
    floating,
    op,
    end,
  };
  Kind kind = Kind::end;
  size_t offset = 0;  ///< byte in the source
  std::string text;   ///< data, name, operator; of a string, what it stands for
  int64_t integer = 0;
  double floating = 0;
};

/// Line ends made \n, and one of them at the end removed.
std::string jinja_normalize_source(std::string_view source);

/// `source` must be normalized. Always ends in a token of kind end.
Result<std::vector<JinjaToken>> jinja_tokenize(std::string_view source);

/// "chat template line 3 column 7: ".
std::string jinja_where(std::string_view source, size_t offset);
size_t jinja_line(std::string_view source, size_t offset);

}  // namespace sqf

#include "model/jinja/literal.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>

#include "format/text.hpp"

namespace sqf {
namespace {

/// Value of the plain one-letter escapes, '\0' for the others.
char simple_escape(char c) {
  switch (c) {
    case '\\':
    case '\'':
    case '"':
      return c;
    case 'a':
      return '\a';
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    case 'v':
      return '\v';
    default:
      return '\0';
  }
}

/// Length of the digits of a numeric escape, 0 for the others.
size_t digit_count(char c) {
  return c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
}

size_t octal_length(std::string_view text) {
  size_t length = 0;
  while (length < 3 && length < text.size() && text[length] >= '0' && text[length] <= '7') ++length;
  return length;
}

bool is_digit(std::string_view source, size_t at) {
  return at < source.size() && source[at] >= '0' && source[at] <= '9';
}

/// End of a run of digits that may have single underscores between them.
size_t digits_end(std::string_view source, size_t at) {
  while (is_digit(source, at) ||
         (at < source.size() && source[at] == '_' && is_digit(source, at + 1)))
    ++at;
  return at;
}

/// End of a fraction and an exponent that follow the digits before `end`; `end` if there is
/// neither.
size_t float_end(std::string_view source, size_t end) {
  if (end < source.size() && source[end] == '.' && is_digit(source, end + 1))
    end = digits_end(source, end + 1);
  if (end < source.size() && (source[end] | 0x20) == 'e') {
    size_t exponent = end + 1;
    if (exponent < source.size() && (source[exponent] == '+' || source[exponent] == '-'))
      ++exponent;
    if (is_digit(source, exponent)) end = digits_end(source, exponent);
  }
  return end;
}

/// 16, 8 or 2 where a prefix says so.
int base_of(std::string_view source, size_t at) {
  if (source[at] != '0' || at + 1 >= source.size()) return 10;
  switch (source[at + 1] | 0x20) {
    case 'x':
      return 16;
    case 'o':
      return 8;
    case 'b':
      return 2;
    default:
      return 10;
  }
}

}  // namespace

bool jinja_read_double(const std::string& text, double& result) {
  const char *begin = text.data(), *end = begin + text.size();
  const auto read = std::from_chars(begin, end, result);
  if (text.empty() || read.ptr != end || read.ec == std::errc::invalid_argument) return false;
  if (read.ec == std::errc::result_out_of_range) result = std::strtod(text.c_str(), nullptr);
  return true;
}

Result<JinjaNumber> jinja_read_number(std::string_view source, size_t at) {
  JinjaNumber number;
  const size_t integer_end = digits_end(source, at);
  const bool after_dot = at > 0 && source[at - 1] == '.';
  number.end = after_dot ? integer_end : float_end(source, integer_end);
  number.is_float = number.end > integer_end;
  const int base = number.is_float ? 10 : base_of(source, at);
  if (base != 10) {
    number.end = at + 2;
    while (number.end < source.size() &&
           (std::isxdigit(static_cast<unsigned char>(source[number.end])) ||
            source[number.end] == '_'))
      ++number.end;
  }
  std::string digits(source.substr(at, number.end - at));
  digits.erase(std::remove(digits.begin(), digits.end(), '_'), digits.end());
  if (number.is_float) {
    if (!jinja_read_double(digits, number.floating)) return malformed("not a number");
    return number;
  }
  const char* last = digits.data() + digits.size();
  const auto read =
      std::from_chars(digits.data() + (base == 10 ? 0 : 2), last, number.integer, base);
  if (read.ec == std::errc::result_out_of_range)
    return unsupported("a number of this size is not supported");
  const bool leading_zero = base == 10 && digits[0] == '0' && number.integer != 0;
  if (read.ec != std::errc() || read.ptr != last || leading_zero) return malformed("not a number");
  return number;
}

Result<std::string> jinja_unescape(std::string_view body) {
  std::string result;
  for (size_t at = 0; at < body.size();) {
    const char c = body[at++];
    if (c != '\\' || at == body.size()) {
      result += c;
      continue;
    }
    const char kind = body[at];
    size_t skip = 1, digits = digit_count(kind);
    int base = 16;
    if (digits == 0 && octal_length(body.substr(at)) > 0) {
      digits = octal_length(body.substr(at));
      base = 8;
      skip = 0;
    }
    if (kind == '\n') {
      ++at;
    } else if (kind == 'N') {
      return unsupported("a character named by \\N is not supported");
    } else if (const char plain = simple_escape(kind)) {
      result += plain;
      ++at;
    } else if (digits > 0) {
      const std::string_view number = body.substr(at + skip, digits);
      uint32_t code = 0;
      const auto read = std::from_chars(number.data(), number.data() + number.size(), code, base);
      if (read.ptr != number.data() + digits || number.size() != digits)
        return malformed(std::string("truncated \\") + kind + " escape in a string");
      if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
        return malformed("illegal Unicode character in a string");
      append_utf8(result, code);
      at += skip + digits;
    } else {
      result += c;  // an unknown escape stands for itself
    }
  }
  return result;
}

}  // namespace sqf

#include "model/jinja/lexer.hpp"

#include <utf8proc.h>

#include <algorithm>
#include <optional>

#include "format/text.hpp"
#include "model/jinja/literal.hpp"
#include "model/jinja/text.hpp"

namespace sqf {
namespace {

using Kind = JinjaToken::Kind;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_letter(char32_t c) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}
bool is_name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  Result<std::vector<JinjaToken>> run() {
    while (at_ < source_.size() && !error_) text();
    if (error_) return *error_;
    push(Kind::end, source_.size());
    return std::move(tokens_);
  }

 private:
  char peek(size_t ahead = 0) const {
    return at_ + ahead < source_.size() ? source_[at_ + ahead] : '\0';
  }
  bool looking_at(std::string_view text) const { return source_.substr(at_).starts_with(text); }

  void fail(Error error) {
    if (!error_) error_ = std::move(error);
    at_ = source_.size();
  }
  void fail(size_t offset, const std::string& message) {
    fail(malformed(jinja_where(source_, offset) + message));
  }

  void fail_literal(size_t offset, Error error) {
    error.message.insert(0, jinja_where(source_, offset));
    fail(std::move(error));
  }

  JinjaToken& push(Kind kind, size_t offset, std::string_view text = {}) {
    JinjaToken& token = tokens_.emplace_back();
    token.kind = kind;
    token.offset = offset;
    token.text = std::string(text);
    return token;
  }

  /// Moves past white space, then notes whether a line has just begun.
  void skip_space() {
    while (at_ < source_.size()) {
      size_t next = at_;
      if (!jinja_is_space(next_char(source_, next))) break;
      at_ = next;
    }
  }

  /// After the closing characters of a block or comment: `strip` removes white space, otherwise
  /// one line end goes unless `keep`.
  void after_block(bool strip, bool keep) {
    if (strip)
      skip_space();
    else if (!keep && peek() == '\n')
      ++at_;
    line_start_ = source_[at_ - 1] == '\n';
  }

  /// Text from `begin` to `end`, before a tag whose sign is '-', '+' or neither.
  void data(size_t begin, size_t end, char sign, bool is_print) {
    std::string_view text = source_.substr(begin, end - begin);
    if (sign == '-') {
      text = text.substr(0, jinja_strip(text, false, true).end);
    } else if (sign != '+' && !is_print) {
      const size_t line = text.rfind('\n') + 1;  // npos + 1 == 0
      if (line > 0 || line_start_) {
        const JinjaRange rest = jinja_strip(text.substr(line), true, false);
        if (rest.begin == rest.end) text = text.substr(0, line);
      }
    }
    if (!text.empty()) push(Kind::data, begin, text);
  }

  /// Literal text up to the next tag, and that tag.
  void text() {
    const size_t begin = at_;
    size_t open = source_.find('{', begin);
    while (open != std::string::npos && open + 1 < source_.size() &&
           std::string_view("{%#").find(source_[open + 1]) == std::string::npos)
      open = source_.find('{', open + 1);
    if (open == std::string::npos || open + 1 >= source_.size()) {
      push(Kind::data, begin, source_.substr(begin));
      at_ = source_.size();
      return;
    }
    const char kind = source_[open + 1];
    at_ = open + 2;
    const char sign = peek() == '-' || peek() == '+' ? source_[at_++] : '\0';
    data(begin, open, sign, kind == '{');
    line_start_ = false;
    if (kind == '#') return comment(open);
    if (kind == '%' && raw(open)) return;
    push(kind == '{' ? Kind::print_begin : Kind::block_begin, open);
    tag(kind == '{', open);
  }

  void comment(size_t open) {
    const size_t close = source_.find("#}", at_);
    if (close == std::string::npos) return fail(open, "Missing end of comment tag");
    const char sign = close > at_ ? source_[close - 1] : '\0';
    at_ = close + 2;
    after_block(sign == '-', sign == '+');
  }

  /// {% raw %} up to and with {% endraw %}; false where this is another tag.
  bool raw(size_t open) {
    const size_t start = at_;
    skip_space();
    const bool is_raw = looking_at("raw");
    if (is_raw) {
      at_ += 3;
      skip_space();
    }
    const bool strip = looking_at("-%}");
    if (!is_raw || (!strip && !looking_at("%}"))) {
      at_ = start;
      return false;
    }
    at_ += strip ? 3 : 2;
    after_block(strip, true);
    const size_t begin = at_;
    for (size_t tag = source_.find("{%", begin); tag != std::string::npos;
         tag = source_.find("{%", tag + 2)) {
      at_ = tag + 2;
      const char sign = peek() == '-' || peek() == '+' ? source_[at_++] : '\0';
      skip_space();
      if (!looking_at("endraw")) continue;
      at_ += 6;
      skip_space();
      const char end_sign = peek() == '-' || peek() == '+' ? source_[at_++] : '\0';
      if (!looking_at("%}")) continue;
      at_ += 2;
      data(begin, tag, sign, false);
      after_block(end_sign == '-', end_sign == '+');
      return true;
    }
    fail(open, "Missing end of raw directive");
    return true;
  }

  /// The inside of {{ }} or {% %}, up to and with the closing characters.
  void tag(bool is_print, size_t open) {
    const std::string_view close = is_print ? "}}" : "%}";
    while (at_ < source_.size()) {
      if (brackets_.empty()) {
        const bool strip = looking_at(is_print ? "-}}" : "-%}");
        const bool keep = !is_print && looking_at("+%}");
        if (strip || keep || looking_at(close)) {
          push(is_print ? Kind::print_end : Kind::block_end, at_);
          at_ += strip || keep ? 3 : 2;
          if (!is_print || strip)
            after_block(strip, keep);
          else
            line_start_ = false;
          return;
        }
      }
      const size_t before = at_;
      skip_space();
      if (at_ == before) token();
    }
    if (!error_) fail(open, "unexpected end of template: this tag is not closed");
  }

  void token() {
    const char c = peek();
    if (is_digit(c)) return number();
    if (c == '"' || c == '\'') return string(c);
    if (!is_name_start(c)) return op();
    const size_t begin = at_;
    while (is_name_start(peek()) || is_digit(peek())) ++at_;
    if (static_cast<unsigned char>(peek()) >= 0x80) return foreign_name(at_);
    push(Kind::name, begin, source_.substr(begin, at_ - begin));
  }

  void foreign_name(size_t offset) {
    fail(unsupported(jinja_where(source_, offset) +
                     "a name with letters beyond ASCII is not supported"));
  }

  void number() {
    const size_t begin = at_;
    const Result<JinjaNumber> number = jinja_read_number(source_, begin);
    if (!number) return fail_literal(begin, number.error());
    at_ = number->end;
    JinjaToken& token = push(number->is_float ? Kind::floating : Kind::integer, begin);
    token.integer = number->integer;
    token.floating = number->floating;
  }

  void string(char quote) {
    const size_t begin = at_++;
    while (at_ < source_.size() && source_[at_] != quote) at_ += source_[at_] == '\\' ? 2 : 1;
    if (at_ >= source_.size()) return fail(begin, "this string is not closed");
    const std::string_view body = source_.substr(begin + 1, at_ - begin - 1);
    ++at_;
    Result<std::string> value = jinja_unescape(body);
    if (!value) return fail_literal(begin, value.error());
    push(Kind::string, begin).text = std::move(*value);
  }

  void op() {
    static constexpr std::string_view kTwo[] = {"//", "**", "==", "!=", ">=", "<="};
    const size_t begin = at_;
    for (const std::string_view candidate : kTwo) {
      if (!looking_at(candidate)) continue;
      at_ += 2;
      push(Kind::op, begin, candidate);
      return;
    }
    const char c = source_[at_];
    if (std::string_view("+-/*%~[](){}><=.:|,;").find(c) == std::string_view::npos) {
      size_t end = begin;
      if (is_letter(next_char(source_, end))) return foreign_name(begin);
      return fail(begin,
                  "unexpected char '" + std::string(source_.substr(begin, end - begin)) + "'");
    }
    if (c == '(') brackets_ += ')';
    if (c == '[') brackets_ += ']';
    if (c == '{') brackets_ += '}';
    if (c == ')' || c == ']' || c == '}') {
      if (brackets_.empty()) return fail(begin, std::string("unexpected '") + c + "'");
      const char expected = brackets_.back();
      brackets_.pop_back();
      if (expected != c)
        return fail(begin, std::string("unexpected '") + c + "', expected '" + expected + "'");
    }
    ++at_;
    push(Kind::op, begin, source_.substr(begin, 1));
  }

  std::string_view source_;
  size_t at_ = 0;
  bool line_start_ = true;  ///< the last tag (or the start) ended a line
  std::string brackets_;    ///< closing brackets still to come
  std::vector<JinjaToken> tokens_;
  std::optional<Error> error_;
};

}  // namespace

std::string jinja_normalize_source(std::string_view source) {
  std::string result;
  result.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r' && i + 1 < source.size() && source[i + 1] == '\n') continue;
    result += source[i] == '\r' ? '\n' : source[i];
  }
  if (result.ends_with('\n')) result.pop_back();
  return result;
}

Result<std::vector<JinjaToken>> jinja_tokenize(std::string_view source) {
  return Lexer(source).run();
}

size_t jinja_line(std::string_view source, size_t offset) {
  return 1 + static_cast<size_t>(std::count(
                 source.begin(), source.begin() + static_cast<std::ptrdiff_t>(offset), '\n'));
}

std::string jinja_where(std::string_view source, size_t offset) {
  const std::string_view before = source.substr(0, offset);
  const JinjaText line{std::string(before.substr(before.rfind('\n') + 1))};
  return "chat template line " + std::to_string(jinja_line(source, offset)) + " column " +
         std::to_string(jinja_char_count(line) + 1) + ": ";
}

}  // namespace sqf

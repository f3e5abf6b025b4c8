#include "model/jinja/text_ops.hpp"

#include <utf8proc.h>

#include <algorithm>

#include "format/text.hpp"
#include "model/jinja/builtin.hpp"
#include "model/jinja/print.hpp"

namespace sqf {
namespace {

using Value = JinjaValue;

constexpr char32_t kSharpS = 0xDF;

char32_t upper_of(char32_t c) {
  return static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c)));
}
char32_t lower_of(char32_t c) {
  return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
}
bool is_letter(char32_t c) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

/// Line ends of str.splitlines.
bool is_line_end(char32_t c) {
  return (c >= 10 && c <= 13) || (c >= 28 && c <= 30) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

/// Start of the white space or separator found, and the end of it; begin == npos if none.
JinjaRange find_space(std::string_view bytes, size_t from) {
  for (size_t at = from; at < bytes.size();) {
    const size_t begin = at;
    if (!jinja_is_space(next_char(bytes, at))) continue;
    size_t end = at;
    while (end < bytes.size()) {
      size_t next = end;
      if (!jinja_is_space(next_char(bytes, next))) break;
      end = next;
    }
    return {begin, end};
  }
  return {std::string::npos, std::string::npos};
}

/// Searches both strings back to front, so that a hostile separator costs no more than a kind one.
std::vector<JinjaRange> cuts_from_right(JinjaRuntime& rt, const std::string& bytes,
                                        const std::string& separator, int64_t limit) {
  const std::string text(bytes.rbegin(), bytes.rend());
  const std::string pattern(separator.rbegin(), separator.rend());
  std::vector<JinjaRange> cuts;
  for (size_t from = 0; limit < 0 || static_cast<int64_t>(cuts.size()) < limit;) {
    const size_t hit = jinja_find(text, pattern, from);
    if (hit == std::string::npos || !rt.charge(sizeof(JinjaRange))) break;
    from = hit + pattern.size();
    cuts.push_back({text.size() - from, text.size() - hit});
  }
  std::reverse(cuts.begin(), cuts.end());
  return cuts;
}

}  // namespace

JinjaValue jinja_part(JinjaRuntime& rt, const JinjaText& text, JinjaRange part) {
  return rt.text(jinja_cut(text, part));
}

JinjaValue jinja_change_case(JinjaRuntime& rt, const JinjaText& text, JinjaCase how) {
  JinjaTextBuilder out;
  JinjaMarkCursor cursor(text);
  bool first = true, in_word = false;
  for (size_t at = 0; at < text.bytes.size();) {
    const bool user = cursor.marked(at);
    const char32_t code = next_char(text.bytes, at);
    bool raise = how == JinjaCase::upper;
    if (how == JinjaCase::capitalize) raise = first;
    if (how == JinjaCase::title) raise = !in_word;
    if (how == JinjaCase::swap) raise = upper_of(code) != code;
    first = false;
    in_word = is_letter(code);
    if (raise && code == kSharpS)
      out.append(how == JinjaCase::upper || how == JinjaCase::swap ? "SS" : "Ss", user);
    else
      out.append_char(raise ? upper_of(code) : lower_of(code), user);
  }
  if (out.overflowed()) return rt.text(out);
  JinjaText result = out.take();
  result.markup = text.markup;
  return rt.text(std::move(result));
}

JinjaValue jinja_replace(JinjaRuntime& rt, const JinjaText& text, const JinjaText& from,
                         const JinjaText& to, int64_t limit) {
  JinjaTextBuilder out;
  size_t at = 0;
  while (limit != 0 && !out.overflowed()) {
    const size_t hit = jinja_find(text.bytes, from.bytes, at);
    if (hit == std::string::npos) break;
    out.append(text, {at, hit});
    out.append(to);
    at = hit + from.bytes.size();
    if (limit > 0) --limit;
    if (!from.bytes.empty()) continue;
    if (at == text.bytes.size()) return rt.text(out);
    next_char(text.bytes, at);  // an empty pattern is found between any two characters
    out.append(text, {hit, at});
  }
  out.append(text, {at, text.bytes.size()});
  return rt.text(out);
}

std::vector<JinjaValue> jinja_split(JinjaRuntime& rt, const JinjaText& text,
                                    const JinjaText* separator, int64_t limit, bool from_right) {
  const std::string& bytes = text.bytes;
  std::vector<Value> pieces;
  if (separator && separator->bytes.empty()) {
    rt.fail("empty separator");
    return pieces;
  }
  std::vector<JinjaRange> cuts;
  JinjaRange whole{0, bytes.size()};
  if (!separator) whole = jinja_strip(bytes, true, true);
  if (!separator && whole.begin == whole.end) return pieces;
  if (separator && from_right) {
    cuts = cuts_from_right(rt, bytes, separator->bytes, limit);
  } else {
    for (size_t from = whole.begin;
         from_right || limit < 0 || static_cast<int64_t>(cuts.size()) < limit;) {
      JinjaRange cut = separator ? JinjaRange{jinja_find(bytes, separator->bytes, from), 0}
                                 : find_space(bytes, from);
      if (cut.begin == std::string::npos || cut.begin >= whole.end || !rt.charge(sizeof cut)) break;
      if (separator) cut.end = cut.begin + separator->bytes.size();
      cuts.push_back(cut);
      from = cut.end;
    }
    if (from_right && limit >= 0 && static_cast<int64_t>(cuts.size()) > limit)
      cuts.erase(cuts.begin(), cuts.end() - limit);
  }
  // With a limit, the uncut rest keeps its outer white space on the far side, as in Python.
  if (!separator && limit >= 0)
    (from_right ? whole.begin : whole.end) = from_right ? 0 : bytes.size();
  if (!separator && limit >= 0 && static_cast<int64_t>(cuts.size()) < limit)
    whole = jinja_strip(bytes, true, true);
  size_t begin = whole.begin;
  for (const JinjaRange& cut : cuts) {
    pieces.push_back(jinja_part(rt, text, {begin, cut.begin}));
    begin = cut.end;
  }
  pieces.push_back(jinja_part(rt, text, {begin, whole.end}));
  return pieces;
}

std::vector<JinjaValue> jinja_split_lines(JinjaRuntime& rt, const JinjaText& text, bool keep_ends) {
  std::vector<Value> lines;
  const std::string& bytes = text.bytes;
  size_t begin = 0;
  for (size_t at = 0; at < bytes.size() && !rt.failed();) {
    const size_t end = at;
    const char32_t code = next_char(bytes, at);
    if (!is_line_end(code)) continue;
    if (code == '\r' && at < bytes.size() && bytes[at] == '\n') ++at;
    lines.push_back(jinja_part(rt, text, {begin, keep_ends ? at : end}));
    begin = at;
  }
  if (begin < bytes.size()) lines.push_back(jinja_part(rt, text, {begin, bytes.size()}));
  return lines;
}

JinjaValue jinja_pad(JinjaRuntime& rt, const JinjaText& text, int64_t width, JinjaAlign align,
                     const JinjaText& fill) {
  const auto count = static_cast<int64_t>(jinja_char_count(text));
  if (jinja_char_count(fill) != 1)
    return rt.fail("The fill character must be exactly one character long");
  const int64_t total = std::max<int64_t>(width - count, 0);
  int64_t left = align == JinjaAlign::left ? 0 : total;
  if (align == JinjaAlign::middle) left = total / 2 + (total & width & 1);  // as str.center rounds
  JinjaTextBuilder out;
  for (int64_t i = 0; i < left && !out.overflowed(); ++i) out.append(fill);
  out.append(text);
  for (int64_t i = left; i < total && !out.overflowed(); ++i) out.append(fill);
  return rt.text(out);
}

JinjaValue jinja_join(JinjaRuntime& rt, const JinjaText& separator,
                      const std::vector<JinjaValue>& items) {
  JinjaTextBuilder out;
  bool first = true;
  for (const Value& item : items) {
    if (!first) out.append(separator);
    first = false;
    jinja_print(rt, out, item);
    if (rt.failed() || out.overflowed()) break;
  }
  return rt.text(out);
}

}  // namespace sqf

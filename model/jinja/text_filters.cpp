// Filters that give strings or numbers.

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "format/text.hpp"
#include "model/jinja/builtin.hpp"
#include "model/jinja/literal.hpp"
#include "model/jinja/print.hpp"
#include "model/jinja/text_ops.hpp"

namespace sqf {
namespace {

using Kind = JinjaValue::Kind;
using Value = JinjaValue;
using Args = JinjaArgs;

template <JinjaCase How>
Value change_case(JinjaRuntime& rt, const Value& self, Args&) {
  return jinja_change_case(rt, *jinja_str(rt, self), How);
}

/// Words begin after white space, hyphens and opening brackets; the rest of a word is lowered.
Value title(JinjaRuntime& rt, const Value& self, Args&) {
  const JinjaTextPtr text = jinja_str(rt, self);
  const Value upper = jinja_change_case(rt, *text, JinjaCase::upper);
  const Value lower = jinja_change_case(rt, *text, JinjaCase::lower);
  if (rt.failed()) return {};
  if (upper.text->bytes.size() != text->bytes.size() ||
      lower.text->bytes.size() != text->bytes.size())
    return rt.fail_unsupported("title on letters whose case changes their length");
  JinjaTextBuilder out;
  bool starts = true;
  for (size_t at = 0; at < text->bytes.size();) {
    const size_t begin = at;
    const char32_t code = next_char(text->bytes, at);
    out.append(starts ? *upper.text : *lower.text, {begin, at});
    starts = jinja_is_space(code) ||
             (code < 0x80 &&
              std::string_view("-({[<").find(static_cast<char>(code)) != std::string::npos);
  }
  return rt.text(out);
}

Value trim(JinjaRuntime& rt, const Value& self, Args& args) {
  const JinjaTextPtr text = jinja_str(rt, self);
  const std::string* chars = nullptr;
  if (args.positional[0].is_text()) chars = &args.positional[0].text->bytes;
  if (!chars && args.positional[0].is_given()) return rt.fail("strip arg must be None or str");
  return jinja_part(rt, *text, jinja_strip(text->bytes, true, true, chars));
}

Value to_string(JinjaRuntime& rt, const Value& self, Args&) {
  return self.is_text() ? self : rt.text(*jinja_str(rt, self));
}

Value replace(JinjaRuntime& rt, const Value& self, Args& args) {
  const int64_t limit =
      args.positional[2].is_given() ? jinja_integer_arg(rt, args.positional[2], -1) : -1;
  return jinja_replace(rt, *jinja_str(rt, self), *jinja_str(rt, args.positional[0]),
                       *jinja_str(rt, args.positional[1]), limit);
}

Value mark_safe(JinjaRuntime& rt, const Value& self, Args&) {
  JinjaText text = *jinja_str(rt, self);
  text.markup = true;
  return rt.text(std::move(text));
}

Value escape(JinjaRuntime& rt, const Value& self, Args&) {
  JinjaText text = jinja_escape(rt, *jinja_str(rt, self));
  text.markup = true;
  return rt.text(std::move(text));
}

/// `width`: a number of spaces or a string.
Value indent(JinjaRuntime& rt, const Value& self, Args& args) {
  if (!self.is_text())
    return rt.fail(self.is_undefined() && self.text ? self.text->bytes : "indent needs a string");
  JinjaText space;
  if (args.positional[0].is_text()) {
    space = *args.positional[0].text;
  } else {
    const Value spaces = jinja_pad(rt, JinjaText(), jinja_integer_arg(rt, args.positional[0], 4),
                                   JinjaAlign::left, JinjaText(" "));
    if (rt.failed()) return {};
    space = *spaces.text;
  }
  const bool first = rt.truthy(args.positional[1]), blank = rt.truthy(args.positional[2]);
  JinjaTextBuilder source;
  source.append(*self.text);
  source.append("\n");  // so that a line end at the very end counts as an empty last line
  const Value ended = rt.text(source);
  if (rt.failed()) return {};
  const std::vector<Value> lines = jinja_split_lines(rt, *ended.text, false);
  JinjaTextBuilder out;
  for (size_t i = 0; i < lines.size() && !rt.failed() && !out.overflowed(); ++i) {
    if (i > 0) out.append("\n");
    if (i == 0 ? first : blank || !lines[i].text->bytes.empty()) out.append(space);
    out.append(*lines[i].text);
  }
  return rt.text(out);
}

Value to_json(JinjaRuntime& rt, const Value& self, Args& args) {
  const Value &indent = args.positional[1], &separators = args.positional[2];
  JinjaJsonStyle style;
  style.ascii_only = rt.truthy(args.positional[0]);
  style.sort_keys = rt.truthy(args.positional[3]);
  if (indent.is_given()) {
    style.pretty = true;
    style.item_separator.pop_back();
    if (indent.is_text()) {
      style.indent = indent.text->bytes;
    } else {
      const int64_t width = std::max<int64_t>(jinja_integer_arg(rt, indent, 0), 0);
      if (width > 1000) return rt.fail_limit("indents JSON by more than 1000");
      style.indent = std::string(static_cast<size_t>(width), ' ');
    }
  }
  if (separators.is_given()) {
    const std::vector<Value> pair = rt.iterate(separators);
    if (pair.size() != 2 || !pair[0].is_text() || !pair[1].is_text())
      return rt.fail("separators must be two strings");
    style.item_separator = pair[0].text->bytes;
    style.key_separator = pair[1].text->bytes;
  }
  JinjaTextBuilder out;
  jinja_print_json(rt, out, self, style);
  return rt.text(out);
}

/// Digits of `text` in `base` as Python's int() reads them; false where it refuses.
bool read_integer(std::string text, int64_t base, int64_t& result) {
  if (base < 2 || base > 36) return false;
  const JinjaRange part = jinja_strip(text, true, true);
  text = text.substr(part.begin, part.end - part.begin);
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.erase(0, 1);
  const char letter = base == 16 ? 'x' : base == 8 ? 'o' : base == 2 ? 'b' : '\0';
  if (letter && text.size() > 2 && text[0] == '0' && (text[1] | 0x20) == letter) text.erase(0, 2);
  for (size_t at = text.find('_'); at != std::string::npos; at = text.find('_', at)) {
    if (at == 0 || at + 1 == text.size() || text[at + 1] == '_') return false;
    text.erase(at, 1);
  }
  if (text.empty() || text.starts_with('-')) return false;
  if (negative) text.insert(0, 1, '-');
  const auto end =
      std::from_chars(text.data(), text.data() + text.size(), result, static_cast<int>(base));
  return end.ec == std::errc() && end.ptr == text.data() + text.size();
}

bool read_float(const std::string& text, double& result) {
  JinjaRange part = jinja_strip(text, true, true);
  if (text.substr(part.begin, 1) == "+") ++part.begin;
  return jinja_read_double(text.substr(part.begin, part.end - part.begin), result);
}

constexpr size_t kLongestNumber = 400;

Value to_int(JinjaRuntime& rt, const Value& self, Args& args) {
  Value fallback = args.positional[0].is_missing() ? Value::of_integer(0) : args.positional[0];
  const int64_t base = jinja_integer_arg(rt, args.positional[1], 10);
  if (self.is_undefined()) return rt.fail(self.text ? self.text->bytes : "undefined value");
  if (self.is_integral()) return Value::of_integer(self.as_integer());
  double number = 0;
  if (self.is(Kind::floating)) {
    number = self.floating;
  } else {
    int64_t integer = 0;
    if (!self.is_text() || self.text->bytes.size() > kLongestNumber) return fallback;
    if (read_integer(self.text->bytes, base, integer)) return Value::of_integer(integer);
    if (!read_float(self.text->bytes, number)) return fallback;
  }
  if (!std::isfinite(number)) return fallback;
  if (std::abs(number) >= 9.2e18) return rt.fail_unsupported("an integer beyond 64 bits");
  return Value::of_integer(static_cast<int64_t>(number));
}

Value to_float(JinjaRuntime& rt, const Value& self, Args& args) {
  if (self.is_undefined()) return rt.fail(self.text ? self.text->bytes : "undefined value");
  double number = 0;
  if (self.is_number()) return Value::of_floating(self.as_double());
  if (self.is_text() && self.text->bytes.size() <= kLongestNumber &&
      read_float(self.text->bytes, number))
    return Value::of_floating(number);
  return args.positional[0].is_missing() ? Value::of_floating(0) : args.positional[0];
}

Value round(JinjaRuntime& rt, const Value& self, Args& args) {
  if (!self.is_number())
    return rt.fail("type " + std::string(jinja_type_name(self)) +
                   " doesn't define __round__ method");
  const int64_t precision = jinja_integer_arg(rt, args.positional[0], 0);
  const std::string method =
      args.positional[1].is_missing() ? "common" : jinja_str(rt, args.positional[1])->bytes;
  if (precision < 0 || precision > 300) return rt.fail_unsupported("this precision of round");
  if (method == "common") {
    if (self.is_integral()) return Value::of_integer(self.as_integer());
    if (!std::isfinite(self.floating)) return self;
    char buffer[700];  // exact decimal value, cut where the correctly rounded digits end
    std::snprintf(buffer, sizeof buffer, "%.*f", static_cast<int>(precision), self.floating);
    return Value::of_floating(std::strtod(buffer, nullptr));
  }
  const double scale = std::pow(10.0, static_cast<double>(precision));
  if (method == "ceil") return Value::of_floating(std::ceil(self.as_double() * scale) / scale);
  if (method == "floor") return Value::of_floating(std::floor(self.as_double() * scale) / scale);
  return rt.fail("method must be common, ceil or floor");
}

Value absolute(JinjaRuntime& rt, const Value& self, Args&) {
  if (self.is(Kind::floating)) return Value::of_floating(std::abs(self.floating));
  if (self.is_integral() && self.as_integer() >= 0) return Value::of_integer(self.as_integer());
  return jinja_negate(rt, self);
}

Value format(JinjaRuntime& rt, const Value& self, Args& args) {
  if (!args.named.empty()) return rt.fail_unsupported("format with named arguments");
  return jinja_format_percent(rt, *jinja_str(rt, self), args.positional);
}

Value center(JinjaRuntime& rt, const Value& self, Args& args) {
  return jinja_pad(rt, *jinja_str(rt, self), jinja_integer_arg(rt, args.positional[0], 80),
                   JinjaAlign::middle, JinjaText(" "));
}

Value word_count(JinjaRuntime& rt, const Value& self, Args&) {
  const JinjaTextPtr text = jinja_str(rt, self);
  if (!text->ascii) return rt.fail_unsupported("wordcount beyond ASCII");
  int64_t words = 0;
  bool inside = false;
  for (const char c : text->bytes) {
    const bool word = std::isalnum(static_cast<unsigned char>(c)) || c == '_';
    if (word && !inside) ++words;
    inside = word;
  }
  return Value::of_integer(words);
}

constexpr JinjaBuiltin kFilters[] = {
    {"abs", absolute},
    {"capitalize", change_case<JinjaCase::capitalize>},
    {"center", center, {"width"}},
    {"e", escape},
    {"escape", escape},
    {"float", to_float, {"default"}},
    {"format", format, {}, 0, true},
    {"indent", indent, {"width", "first", "blank"}},
    {"int", to_int, {"default", "base"}},
    {"lower", change_case<JinjaCase::lower>},
    {"replace", replace, {"old", "new", "count"}, 2},
    {"round", round, {"precision", "method"}},
    {"safe", mark_safe},
    {"string", to_string},
    {"title", title},
    {"tojson", to_json, {"ensure_ascii", "indent", "separators", "sort_keys"}},
    {"trim", trim, {"chars"}},
    {"upper", change_case<JinjaCase::upper>},
    {"wordcount", word_count},
};

}  // namespace

JinjaText jinja_escape(JinjaRuntime& rt, const JinjaText& text) {
  if (text.markup) return text;
  JinjaTextBuilder out;
  JinjaMarkCursor cursor(text);
  size_t plain = 0;
  auto entity = [](char c) -> std::string_view {
    switch (c) {
      case '&':
        return "&amp;";
      case '<':
        return "&lt;";
      case '>':
        return "&gt;";
      case '"':
        return "&#34;";
      case '\'':
        return "&#39;";
      default:
        return {};
    }
  };
  for (size_t at = 0; at < text.bytes.size(); ++at) {
    const std::string_view replaced = entity(text.bytes[at]);
    if (replaced.empty()) continue;
    out.append(text, {plain, at});
    out.append(replaced, cursor.marked(at));
    plain = at + 1;
  }
  out.append(text, {plain, text.bytes.size()});
  if (out.overflowed()) rt.fail_limit("makes a string over 16 MiB");
  return out.take();
}

JinjaTable jinja_text_filters() {
  return {std::begin(kFilters), std::end(kFilters)};
}

}  // namespace sqf

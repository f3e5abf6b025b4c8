#include "model/jinja/print.hpp"

#include <utf8proc.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "format/text.hpp"

namespace sqf {
namespace {

using Kind = JinjaValue::Kind;

std::string hex(const char* format, char32_t code) {
  char buffer[16];
  std::snprintf(buffer, sizeof buffer, format, static_cast<unsigned>(code));
  return buffer;
}

bool is_printable(char32_t code) {
  if (code < 0x7F) return code >= 0x20;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code))) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return false;
    default:
      return true;
  }
}

/// Empty where the character stands for itself.
std::string repr_escape(char32_t code, char32_t quote) {
  if (code == quote || code == '\\') return std::string("\\") + static_cast<char>(code);
  if (code == '\n') return "\\n";
  if (code == '\r') return "\\r";
  if (code == '\t') return "\\t";
  if (is_printable(code)) return {};
  if (code < 0x100) return hex("\\x%02x", code);
  return code < 0x10000 ? hex("\\u%04x", code) : hex("\\U%08x", code);
}

std::string json_escape(char32_t code, bool ascii_only) {
  switch (code) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    case '\f':
      return "\\f";
    case '\b':
      return "\\b";
    default:
      break;
  }
  if (code < 0x20 || (ascii_only && code >= 0x7F && code < 0x10000)) return hex("\\u%04x", code);
  if (!ascii_only || code < 0x10000) return {};
  return hex("\\u%04x", 0xD7C0 + (code >> 10)) + hex("\\u%04x", 0xDC00 + (code & 0x3FF));
}

/// Copies text between quotes; stretches without anything to escape go over in one piece.
template <typename Escape>
void append_quoted(JinjaTextBuilder& out, const JinjaText& text, char quote, Escape escape) {
  JinjaMarkCursor cursor(text);
  out.append(std::string_view(&quote, 1));
  size_t plain = 0;
  for (size_t at = 0; at < text.bytes.size();) {
    const size_t begin = at;
    const std::string escaped = escape(next_char(text.bytes, at));
    if (escaped.empty()) continue;
    out.append(text, {plain, begin});
    out.append(escaped, cursor.marked(begin));
    plain = at;
  }
  out.append(text, {plain, text.bytes.size()});
  out.append(std::string_view(&quote, 1));
}

void print_text_repr(JinjaTextBuilder& out, const JinjaText& text) {
  const bool doubled =
      text.bytes.find('\'') != std::string::npos && text.bytes.find('"') == std::string::npos;
  const char quote = doubled ? '"' : '\'';
  if (text.markup) out.append("Markup(");
  append_quoted(out, text, quote,
                [quote](char32_t c) { return repr_escape(c, static_cast<char32_t>(quote)); });
  if (text.markup) out.append(")");
}

void print_items(JinjaRuntime& rt, JinjaTextBuilder& out, const JinjaValue& value,
                 std::string_view open, std::string_view close) {
  out.append(open);
  bool first = true;
  for (const JinjaValue& item : value.sequence->items) {
    if (!first) out.append(", ");
    first = false;
    jinja_print_repr(rt, out, item);
    if (rt.failed() || out.overflowed()) return;
  }
  if (value.is(Kind::tuple) && value.sequence->items.size() == 1) out.append(",");
  out.append(close);
}

void print_dict(JinjaRuntime& rt, JinjaTextBuilder& out, const JinjaDict& dict) {
  out.append("{");
  bool first = true;
  for (const auto& [key, item] : dict.entries) {
    if (!first) out.append(", ");
    first = false;
    jinja_print_repr(rt, out, key);
    out.append(": ");
    jinja_print_repr(rt, out, item);
    if (rt.failed() || out.overflowed()) return;
  }
  out.append("}");
}

void print_range(JinjaTextBuilder& out, const JinjaSequence& range) {
  const auto [start, stop, step] = range.bounds;
  out.append("range(" + std::to_string(start) + ", " + std::to_string(stop) +
             (step == 1 ? ")" : ", " + std::to_string(step) + ")"));
}

void print_container(JinjaRuntime& rt, JinjaTextBuilder& out, const JinjaValue& value) {
  switch (value.kind) {
    case Kind::list:
      return print_items(rt, out, value, "[", "]");
    case Kind::tuple:
      return print_items(rt, out, value, "(", ")");
    case Kind::dict_keys:
      return print_items(rt, out, value, "dict_keys([", "])");
    case Kind::dict_values:
      return print_items(rt, out, value, "dict_values([", "])");
    case Kind::dict_items:
      return print_items(rt, out, value, "dict_items([", "])");
    case Kind::dict:
      return print_dict(rt, out, *value.dict);
    case Kind::range:
      return print_range(out, *value.sequence);
    case Kind::space:
      out.append("<Namespace ");
      print_dict(rt, out, *value.dict);
      return out.append(">");
    default:
      rt.fail_unsupported("printing a " + std::string(jinja_type_name(value)));
  }
}

std::string json_float(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return jinja_format_float(value);
}

class JsonPrinter {
 public:
  JsonPrinter(JinjaRuntime& rt, JinjaTextBuilder& out, const JinjaJsonStyle& style)
      : rt_(rt), out_(out), style_(style) {}

  void print(const JinjaValue& value) {
    if (!rt_.charge(8) || out_.overflowed()) return;
    switch (value.kind) {
      case Kind::none:
        return out_.append("null");
      case Kind::boolean:
        return out_.append(value.boolean ? "true" : "false");
      case Kind::integer:
        return out_.append(std::to_string(value.integer));
      case Kind::floating:
        return out_.append(json_float(value.floating));
      case Kind::text:
        return quoted(*value.text);
      case Kind::list:
      case Kind::tuple:
      case Kind::dict:
        break;
      default:
        rt_.fail("Object of type " + std::string(jinja_type_name(value)) +
                 " is not JSON serializable");
        return;
    }
    if (rt_.enter()) value.is(Kind::dict) ? object(*value.dict) : array(value.sequence->items);
    rt_.leave();
  }

 private:
  void quoted(const JinjaText& text) {
    append_quoted(out_, text, '"',
                  [this](char32_t c) { return json_escape(c, style_.ascii_only); });
  }
  void new_line() {
    if (!style_.pretty) return;
    out_.append("\n");
    for (int i = 0; i < level_ && !out_.overflowed(); ++i) out_.append(style_.indent);
  }
  void array(const std::vector<JinjaValue>& items) {
    if (items.empty()) return out_.append("[]");
    out_.append("[");
    ++level_;
    for (size_t i = 0; i < items.size() && !rt_.failed(); ++i) {
      if (i > 0) out_.append(style_.item_separator);
      new_line();
      print(items[i]);
    }
    --level_;
    new_line();
    out_.append("]");
  }
  void object(const JinjaDict& dict) {
    if (dict.entries.empty()) return out_.append("{}");
    std::vector<const std::pair<JinjaValue, JinjaValue>*> entries;
    for (const auto& entry : dict.entries) entries.push_back(&entry);
    if (style_.sort_keys)
      std::stable_sort(entries.begin(), entries.end(),
                       [&](auto* a, auto* b) { return rt_.less(a->first, b->first); });
    out_.append("{");
    ++level_;
    for (size_t i = 0; i < entries.size() && !rt_.failed(); ++i) {
      if (i > 0) out_.append(style_.item_separator);
      new_line();
      key(entries[i]->first);
      out_.append(style_.key_separator);
      print(entries[i]->second);
    }
    --level_;
    new_line();
    out_.append("}");
  }
  void key(const JinjaValue& value) {
    if (value.is_text()) return quoted(*value.text);
    if (!value.is_number() && !value.is(Kind::none)) {
      rt_.fail("keys must be str, int, float, bool or None, not " +
               std::string(jinja_type_name(value)));
      return;
    }
    out_.append("\"");
    print(value);
    out_.append("\"");
  }

  JinjaRuntime& rt_;
  JinjaTextBuilder& out_;
  const JinjaJsonStyle& style_;
  int level_ = 0;
};

}  // namespace

std::string jinja_format_float(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char buffer[32];
  const auto end =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific);
  std::string scientific(buffer, end.ptr);
  const size_t e = scientific.find('e');
  const int exponent = static_cast<int>(std::strtol(scientific.c_str() + e + 1, nullptr, 10));
  if (exponent < -4 || exponent >= 16) return scientific;
  const auto fixed = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::fixed);
  std::string result(buffer, fixed.ptr);
  if (result.find('.') == std::string::npos) result += ".0";
  return result;
}

void jinja_print(JinjaRuntime& rt, JinjaTextBuilder& out, const JinjaValue& value) {
  if (value.is_text()) {
    if (rt.charge(value.text->bytes.size())) out.append(*value.text);
  } else if (!value.is_undefined()) {
    jinja_print_repr(rt, out, value);
  }
  if (out.overflowed()) rt.fail_limit("makes a string over 16 MiB");
}

void jinja_print_repr(JinjaRuntime& rt, JinjaTextBuilder& out, const JinjaValue& value) {
  if (!rt.charge(8)) return;
  switch (value.kind) {
    case Kind::missing:
    case Kind::undefined:
      return out.append("Undefined");
    case Kind::none:
      return out.append("None");
    case Kind::boolean:
      return out.append(value.boolean ? "True" : "False");
    case Kind::integer:
      return out.append(std::to_string(value.integer));
    case Kind::floating:
      return out.append(jinja_format_float(value.floating));
    case Kind::text:
      if (rt.charge(value.text->bytes.size())) print_text_repr(out, *value.text);
      return;
    default:
      break;
  }
  if (rt.enter()) print_container(rt, out, value);
  rt.leave();
}

void jinja_print_json(JinjaRuntime& rt, JinjaTextBuilder& out, const JinjaValue& value,
                      const JinjaJsonStyle& style) {
  JsonPrinter(rt, out, style).print(value);
}

JinjaTextPtr jinja_str(JinjaRuntime& rt, const JinjaValue& value) {
  static const JinjaTextPtr empty = std::make_shared<const JinjaText>();
  if (value.is_text()) return value.text;
  JinjaTextBuilder builder;
  jinja_print(rt, builder, value);
  const JinjaValue printed = rt.text(builder);
  return printed.is_text() ? printed.text : empty;
}

}  // namespace sqf

// The % operator on strings and the format filter.

#include <cstdio>

#include "model/jinja/builtin.hpp"
#include "model/jinja/print.hpp"
#include "model/jinja/text_ops.hpp"

namespace sqf {
namespace {

using Kind = JinjaValue::Kind;
using Value = JinjaValue;

// Wider fields than this have no use in a prompt; snprintf would have to be handed a huge buffer.
constexpr int kMaxField = 1000;

struct Spec {
  std::string flags;
  int width = 0;
  int precision = -1;
  char conversion = 0;
};

int read_number(const std::string& text, size_t& at) {
  int number = 0;
  for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at)
    number = std::min(number * 10 + (text[at] - '0'), kMaxField + 1);
  return number;
}

/// `at` stands behind the percent sign and is moved behind the conversion character.
Spec read_spec(const std::string& text, size_t& at) {
  Spec spec;
  while (at < text.size() && std::string_view("-+ #0").find(text[at]) != std::string::npos) {
    if (spec.flags.find(text[at]) == std::string::npos) spec.flags += text[at];
    ++at;
  }
  spec.width = read_number(text, at);
  if (at < text.size() && text[at] == '.') spec.precision = read_number(text, ++at);
  if (at < text.size()) spec.conversion = text[at++];
  return spec;
}

template <typename Number>
std::string print_number(const Spec& spec, const char* length, Number number) {
  std::string format(1, '%');
  format += spec.flags;
  format += std::to_string(spec.width);
  if (spec.precision >= 0) format += '.' + std::to_string(spec.precision);
  format += length;
  format += spec.conversion;
  // A double prints at most 309 digits before the point; the rest is bounded by kMaxField.
  std::string buffer(2 * kMaxField + 400, '\0');
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  const int size = std::snprintf(buffer.data(), buffer.size(), format.c_str(), number);
#pragma GCC diagnostic pop
  buffer.resize(size < 0 ? 0 : std::min(static_cast<size_t>(size), buffer.size() - 1));
  return buffer;
}

void put_text(JinjaRuntime& rt, JinjaTextBuilder& out, const Spec& spec, const Value& value) {
  JinjaTextBuilder printed;
  if (spec.conversion == 'r')
    jinja_print_repr(rt, printed, value);
  else
    jinja_print(rt, printed, value);
  const Value whole = rt.text(printed);
  if (rt.failed()) return;
  JinjaText text = *whole.text;
  if (spec.precision >= 0)
    text = jinja_cut(text, {0, jinja_byte_offset(text, static_cast<size_t>(spec.precision))});
  const bool left = spec.flags.find('-') != std::string::npos;
  const Value padded =
      jinja_pad(rt, text, spec.width, left ? JinjaAlign::left : JinjaAlign::right, JinjaText(" "));
  if (padded.is_text()) out.append(*padded.text);
}

void put_value(JinjaRuntime& rt, JinjaTextBuilder& out, Spec spec, const Value& value) {
  switch (spec.conversion) {
    case 's':
    case 'r':
      return put_text(rt, out, spec, value);
    case 'u':
      spec.conversion = 'd';
      [[fallthrough]];
    case 'd':
    case 'i':
    case 'x':
    case 'X':
    case 'o':
      if (value.is(Kind::floating) && spec.conversion <= 'i' && spec.conversion != 'X' &&
          value.floating > -9e18 && value.floating < 9e18)
        return out.append(print_number(spec, "ll", static_cast<long long>(value.floating)));
      if (!value.is_integral()) break;
      if (value.as_integer() < 0 &&
          (spec.conversion == 'x' || spec.conversion == 'X' || spec.conversion == 'o')) {
        rt.fail_unsupported("a negative number in hexadecimal or octal");
        return;
      }
      return out.append(print_number(spec, "ll", static_cast<long long>(value.as_integer())));
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G':
      if (!value.is_number()) break;
      return out.append(print_number(spec, "", value.as_double()));
    default:
      rt.fail_unsupported(std::string("format character '") + spec.conversion + "'");
      return;
  }
  rt.fail(std::string("%") + spec.conversion + " format: a number is required, not " +
          std::string(jinja_type_name(value)));
}

}  // namespace

JinjaValue jinja_format_percent(JinjaRuntime& rt, const JinjaText& format,
                                const std::vector<JinjaValue>& args) {
  JinjaTextBuilder out;
  const std::string& text = format.bytes;
  size_t next = 0, at = 0;
  while (at < text.size() && !rt.failed() && !out.overflowed()) {
    const size_t percent = std::min(text.find('%', at), text.size());
    out.append(format, {at, percent});
    at = percent + 1;
    if (percent == text.size()) break;
    const Spec spec = read_spec(text, at);
    if (spec.width > kMaxField || spec.precision > kMaxField)
      return rt.fail_limit("formats a field wider than " + std::to_string(kMaxField));
    if (spec.conversion == 0) return rt.fail("incomplete format");
    if (spec.conversion == '%') {
      out.append("%");
    } else if (next == args.size()) {
      return rt.fail("not enough arguments for format string");
    } else {
      put_value(rt, out, spec, args[next++]);
    }
  }
  // A single argument with subscripts may be meant for %(name)s, so Python lets it go unused.
  const bool one_mapping = args.size() == 1 && (args[0].is(Kind::dict) || args[0].is(Kind::list) ||
                                                args[0].is(Kind::range) || args[0].is_undefined());
  if (next < args.size() && !one_mapping)
    return rt.fail("not all arguments converted during string formatting");
  return rt.text(out);
}

}  // namespace sqf

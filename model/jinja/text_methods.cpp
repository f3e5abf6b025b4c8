// Methods of strings.

#include <utf8proc.h>

#include <algorithm>
#include <charconv>

#include "format/text.hpp"
#include "model/jinja/builtin.hpp"
#include "model/jinja/print.hpp"
#include "model/jinja/text_ops.hpp"

namespace sqf {
namespace {

using Kind = JinjaValue::Kind;
using Value = JinjaValue;
using Args = JinjaArgs;

/// The text argument at `index`; fails and gives an empty one where it is something else.
const JinjaText& text_arg(JinjaRuntime& rt, const Args& args, size_t index) {
  static const JinjaText empty;
  const Value& value = args.positional[index];
  if (value.is_text()) return *value.text;
  if (value.is_undefined() && value.text)
    rt.fail(value.text->bytes);
  else
    rt.fail("expected str, got " + std::string(jinja_type_name(value)));
  return empty;
}

template <bool Left, bool Right>
Value strip(JinjaRuntime& rt, const Value& self, Args& args) {
  const JinjaText& text = *self.text;
  const bool with_chars = args.positional[0].is_given();
  const std::string* chars = with_chars ? &text_arg(rt, args, 0).bytes : nullptr;
  return jinja_part(rt, text, jinja_strip(text.bytes, Left, Right, chars));
}

template <JinjaCase How>
Value change_case(JinjaRuntime& rt, const Value& self, Args&) {
  return jinja_change_case(rt, *self.text, How);
}

template <bool FromRight>
Value split(JinjaRuntime& rt, const Value& self, Args& args) {
  const bool separated = args.positional[0].is_given();
  const JinjaText* separator = separated ? &text_arg(rt, args, 0) : nullptr;
  const int64_t limit = jinja_integer_arg(rt, args.positional[1], -1);
  if (rt.failed()) return {};
  return rt.list(jinja_split(rt, *self.text, separator, limit, FromRight));
}

Value splitlines(JinjaRuntime& rt, const Value& self, Args& args) {
  return rt.list(jinja_split_lines(rt, *self.text, rt.truthy(args.positional[0])));
}

/// The separator in the middle is the one found in the text, so that its marks stay.
template <bool FromRight>
Value partition(JinjaRuntime& rt, const Value& self, Args& args) {
  const JinjaText& text = *self.text;
  const JinjaText& separator = text_arg(rt, args, 0);
  std::vector<Value> pieces = jinja_split(rt, text, &separator, 1, FromRight);
  if (rt.failed()) return {};
  if (pieces.size() == 1) {
    pieces.insert(FromRight ? pieces.begin() : pieces.end(), 2, rt.text(std::string()));
  } else {
    const size_t at = pieces[0].text->bytes.size();
    pieces.insert(pieces.begin() + 1, jinja_part(rt, text, {at, at + separator.bytes.size()}));
  }
  return rt.sequence(Kind::tuple, std::move(pieces));
}

Value replace(JinjaRuntime& rt, const Value& self, Args& args) {
  const JinjaText& from = text_arg(rt, args, 0);
  const JinjaText& to = text_arg(rt, args, 1);
  const int64_t limit = jinja_integer_arg(rt, args.positional[2], -1);
  if (rt.failed()) return {};
  const bool markup = self.text->markup;
  Value result = jinja_replace(rt, *self.text, from, markup ? jinja_escape(rt, to) : to, limit);
  if (!markup || rt.failed()) return result;
  JinjaText text = *result.text;
  text.markup = true;
  return rt.text(std::move(text));
}

template <bool AtEnd>
bool has_affix(const JinjaText& text, const JinjaText& affix) {
  return AtEnd ? text.bytes.ends_with(affix.bytes) : text.bytes.starts_with(affix.bytes);
}

template <bool AtEnd>
Value tests_affix(JinjaRuntime& rt, const Value& self, Args& args) {
  if (args.positional[1].is_given()) return rt.fail_unsupported("a start position here");
  const Value& wanted = args.positional[0];
  if (!wanted.is(Kind::tuple))
    return Value::of_bool(has_affix<AtEnd>(*self.text, text_arg(rt, args, 0)));
  for (const Value& one : wanted.sequence->items) {
    if (!one.is_text() || !rt.charge(one.text->bytes.size()))
      return rt.fail("tuple for startswith or endswith must only contain str");
    if (has_affix<AtEnd>(*self.text, *one.text)) return Value::of_bool(true);
  }
  return Value::of_bool(false);
}

template <bool AtEnd>
Value remove_affix(JinjaRuntime& rt, const Value& self, Args& args) {
  const JinjaText& affix = text_arg(rt, args, 0);
  JinjaRange part{0, self.text->bytes.size()};
  if (has_affix<AtEnd>(*self.text, affix))
    (AtEnd ? part.end : part.begin) = AtEnd ? part.end - affix.bytes.size() : affix.bytes.size();
  return jinja_part(rt, *self.text, part);
}

/// Character index of an occurrence, -1 if there is none.
template <bool FromRight, bool Must>
Value find(JinjaRuntime& rt, const Value& self, Args& args) {
  const JinjaText& text = *self.text;
  const JinjaText& wanted = text_arg(rt, args, 0);
  if (args.positional[1].is_given()) return rt.fail_unsupported("a start position here");
  size_t hit = jinja_find(text.bytes, wanted.bytes, 0);
  if (FromRight && wanted.bytes.empty()) hit = text.bytes.size();
  if (FromRight && hit != std::string::npos && !wanted.bytes.empty()) {
    const auto pieces = jinja_split(rt, text, &wanted, 1, true);
    if (rt.failed()) return {};
    hit = pieces[0].text->bytes.size();
  }
  if (hit == std::string::npos)
    return Must ? rt.fail("substring not found") : Value::of_integer(-1);
  return Value::of_integer(static_cast<int64_t>(jinja_char_count(jinja_cut(text, {0, hit}))));
}

Value count(JinjaRuntime& rt, const Value& self, Args& args) {
  const JinjaText& wanted = text_arg(rt, args, 0);
  if (wanted.bytes.empty())
    return Value::of_integer(static_cast<int64_t>(jinja_char_count(*self.text)) + 1);
  int64_t hits = 0;
  for (size_t at = 0; (at = jinja_find(self.text->bytes, wanted.bytes, at)) != std::string::npos;
       at += wanted.bytes.size())
    ++hits;
  return Value::of_integer(hits);
}

Value join(JinjaRuntime& rt, const Value& self, Args& args) {
  const std::vector<Value> items = rt.iterate(args.positional[0]);
  for (const Value& item : items)
    if (!item.is_text())
      return rt.fail("sequence item: expected str instance, " + std::string(jinja_type_name(item)) +
                     " found");
  return jinja_join(rt, *self.text, items);
}

template <JinjaAlign Align>
Value pad(JinjaRuntime& rt, const Value& self, Args& args) {
  const JinjaText space(" ");
  const int64_t width = jinja_integer_arg(rt, args.positional[0], 0);
  return jinja_pad(rt, *self.text, width, Align,
                   args.positional[1].is_given() ? text_arg(rt, args, 1) : space);
}

Value zfill(JinjaRuntime& rt, const Value& self, Args& args) {
  const int64_t width = jinja_integer_arg(rt, args.positional[0], 0);
  const bool sign = self.text->bytes.starts_with('-') || self.text->bytes.starts_with('+');
  const JinjaText digits = jinja_cut(*self.text, {sign ? 1u : 0u, self.text->bytes.size()});
  Value padded = jinja_pad(rt, digits, width - sign, JinjaAlign::right, JinjaText("0"));
  if (!sign || rt.failed()) return padded;
  return jinja_arithmetic(rt, "+", rt.text(jinja_cut(*self.text, {0, 1})), padded);
}

/// True if there is a character and all of them satisfy `test`.
template <bool (*Test)(char32_t)>
Value all_chars(JinjaRuntime&, const Value& self, Args&) {
  const std::string& bytes = self.text->bytes;
  for (size_t at = 0; at < bytes.size();)
    if (!Test(next_char(bytes, at))) return Value::of_bool(false);
  return Value::of_bool(!bytes.empty());
}

utf8proc_category_t category(char32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}
bool is_alpha(char32_t c) {
  return category(c) >= UTF8PROC_CATEGORY_LU && category(c) <= UTF8PROC_CATEGORY_LO;
}
bool is_decimal(char32_t c) {
  return category(c) == UTF8PROC_CATEGORY_ND;
}
bool is_alnum(char32_t c) {
  return is_alpha(c) ||
         (category(c) >= UTF8PROC_CATEGORY_ND && category(c) <= UTF8PROC_CATEGORY_NO);
}

template <bool Upper>
Value is_case(JinjaRuntime& rt, const Value& self, Args&) {
  const Value mapped =
      jinja_change_case(rt, *self.text, Upper ? JinjaCase::upper : JinjaCase::lower);
  const Value other =
      jinja_change_case(rt, *self.text, Upper ? JinjaCase::lower : JinjaCase::upper);
  if (rt.failed()) return {};
  const std::string& bytes = self.text->bytes;
  return Value::of_bool(mapped.text->bytes == bytes && other.text->bytes != bytes);
}

/// {}, {0} and {name}; conversions and format specifications are left out.
Value format(JinjaRuntime& rt, const Value& self, Args& args) {
  const JinjaText& text = *self.text;
  const std::string& bytes = text.bytes;
  JinjaTextBuilder out;
  size_t next = 0;
  for (size_t at = 0; at < bytes.size() && !rt.failed() && !out.overflowed();) {
    const size_t brace = std::min(bytes.find_first_of("{}", at), bytes.size());
    out.append(text, {at, brace});
    at = brace + 1;
    if (brace == bytes.size()) break;
    if (at < bytes.size() && bytes[at] == bytes[brace]) {
      out.append(text, {at, at + 1});
      ++at;
      continue;
    }
    const size_t end = bytes.find('}', at);
    if (bytes[brace] == '}' || end == std::string::npos)
      return rt.fail("Single '" + bytes.substr(brace, 1) + "' encountered in format string");
    const std::string field = bytes.substr(at, std::min<size_t>(end - at, 64));
    at = end + 1;
    if (field.find_first_of("!:.[") != std::string::npos)
      return rt.fail_unsupported("the format field {" + field + "}");
    const bool number = field.find_first_not_of("0123456789") == std::string::npos;
    if (number) {
      size_t index = next;
      if (field.empty()) ++next;
      const auto read = std::from_chars(field.data(), field.data() + field.size(), index);
      if (read.ec == std::errc::result_out_of_range || index >= args.positional.size())
        return rt.fail("Replacement index " + (field.empty() ? std::to_string(index) : field) +
                       " out of range");
      jinja_print(rt, out, args.positional[index]);
      continue;
    }
    auto named = std::find_if(args.named.begin(), args.named.end(),
                              [&](const auto& entry) { return entry.first == field; });
    if (named == args.named.end()) return rt.fail("'" + field + "'");
    jinja_print(rt, out, named->second);
  }
  return rt.text(out);
}

constexpr JinjaBuiltin kMethods[] = {
    {"capitalize", change_case<JinjaCase::capitalize>},
    {"casefold", change_case<JinjaCase::lower>},
    {"center", pad<JinjaAlign::middle>, {"width", "fillchar"}, 1},
    {"count", count, {"sub"}, 1},
    {"endswith", tests_affix<true>, {"suffix", "start"}, 1},
    {"find", find<false, false>, {"sub", "start"}, 1},
    {"format", format, {}, 0, true},
    {"index", find<false, true>, {"sub", "start"}, 1},
    {"isalnum", all_chars<is_alnum>},
    {"isalpha", all_chars<is_alpha>},
    {"isdecimal", all_chars<is_decimal>},
    {"isdigit", all_chars<is_decimal>},
    {"islower", is_case<false>},
    {"isnumeric", all_chars<is_decimal>},
    {"isspace", all_chars<jinja_is_space>},
    {"isupper", is_case<true>},
    {"join", join, {"iterable"}, 1},
    {"ljust", pad<JinjaAlign::left>, {"width", "fillchar"}, 1},
    {"lower", change_case<JinjaCase::lower>},
    {"lstrip", strip<true, false>, {"chars"}},
    {"partition", partition<false>, {"sep"}, 1},
    {"removeprefix", remove_affix<false>, {"prefix"}, 1},
    {"removesuffix", remove_affix<true>, {"suffix"}, 1},
    {"replace", replace, {"old", "new", "count"}, 2},
    {"rfind", find<true, false>, {"sub", "start"}, 1},
    {"rindex", find<true, true>, {"sub", "start"}, 1},
    {"rjust", pad<JinjaAlign::right>, {"width", "fillchar"}, 1},
    {"rpartition", partition<true>, {"sep"}, 1},
    {"rsplit", split<true>, {"sep", "maxsplit"}},
    {"rstrip", strip<false, true>, {"chars"}},
    {"split", split<false>, {"sep", "maxsplit"}},
    {"splitlines", splitlines, {"keepends"}},
    {"startswith", tests_affix<false>, {"prefix", "start"}, 1},
    {"strip", strip<true, true>, {"chars"}},
    {"swapcase", change_case<JinjaCase::swap>},
    {"title", change_case<JinjaCase::title>},
    {"upper", change_case<JinjaCase::upper>},
    {"zfill", zfill, {"width"}, 1},
};

}  // namespace

JinjaTable jinja_text_methods() {
  return {std::begin(kMethods), std::end(kMethods)};
}

}  // namespace sqf

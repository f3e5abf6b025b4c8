// Operators and subscripts.

#include <algorithm>
#include <charconv>
#include <cmath>

#include "format/text.hpp"
#include "model/jinja/builtin.hpp"
#include "model/jinja/print.hpp"

namespace sqf {
namespace {

using Kind = JinjaValue::Kind;
using Value = JinjaValue;

Value operand_error(JinjaRuntime& rt, std::string_view op, const Value& a, const Value& b) {
  for (const Value* side : {&a, &b})
    if (side->is_undefined()) return rt.fail(side->text ? side->text->bytes : "undefined value");
  return rt.fail("unsupported operand type(s) for " + std::string(op) + ": " +
                 jinja_quoted(jinja_type_name(a)) + " and " + jinja_quoted(jinja_type_name(b)));
}

Value overflow(JinjaRuntime& rt) {
  return rt.fail_unsupported("an integer beyond 64 bits");
}

Value integer_power(JinjaRuntime& rt, int64_t base, int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) return rt.fail("0.0 cannot be raised to a negative power");
    return Value::of_floating(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  int64_t result = 1;
  if (base == 0 || base == 1) return Value::of_integer(exponent == 0 ? 1 : base);
  if (base == -1) return Value::of_integer(exponent % 2 == 0 ? 1 : -1);
  for (int64_t i = 0; i < exponent; ++i)  // |base| >= 2: overflows within 63 turns
    if (__builtin_mul_overflow(result, base, &result)) return overflow(rt);
  return Value::of_integer(result);
}

Value integer_arithmetic(JinjaRuntime& rt, std::string_view op, int64_t a, int64_t b) {
  int64_t result = 0;
  if (op == "+")
    return __builtin_add_overflow(a, b, &result) ? overflow(rt) : Value::of_integer(result);
  if (op == "-")
    return __builtin_sub_overflow(a, b, &result) ? overflow(rt) : Value::of_integer(result);
  if (op == "*")
    return __builtin_mul_overflow(a, b, &result) ? overflow(rt) : Value::of_integer(result);
  if (op == "**") return integer_power(rt, a, b);
  if (b == 0) return rt.fail("division by zero");
  if (op == "/") return Value::of_floating(static_cast<double>(a) / static_cast<double>(b));
  if (b == -1) {  // the one division that can overflow
    if (op == "%") return Value::of_integer(0);
    return __builtin_sub_overflow(int64_t{0}, a, &result) ? overflow(rt)
                                                          : Value::of_integer(result);
  }
  const int64_t rest = a % b;
  const bool adjust = rest != 0 && (rest < 0) != (b < 0);  // Python rounds towards -infinity
  if (op == "//") return Value::of_integer(a / b - (adjust ? 1 : 0));
  return Value::of_integer(adjust ? rest + b : rest);
}

Value float_arithmetic(JinjaRuntime& rt, std::string_view op, double a, double b) {
  if (op == "+") return Value::of_floating(a + b);
  if (op == "-") return Value::of_floating(a - b);
  if (op == "*") return Value::of_floating(a * b);
  if (op == "**") return Value::of_floating(std::pow(a, b));
  if (b == 0) return rt.fail("float division by zero");
  if (op == "/") return Value::of_floating(a / b);
  double rest = std::fmod(a, b);
  if (rest != 0 && (rest < 0) != (b < 0)) rest += b;
  if (op == "%") return Value::of_floating(rest);
  return Value::of_floating(std::floor((a - rest) / b + 0.5));
}

Value add_texts(JinjaRuntime& rt, const JinjaText& a, const JinjaText& b) {
  JinjaTextBuilder builder;
  const bool markup = a.markup || b.markup;
  builder.append(markup ? jinja_escape(rt, a) : a);
  builder.append(markup ? jinja_escape(rt, b) : b);
  if (builder.overflowed()) return rt.text(builder);
  JinjaText result = builder.take();
  result.markup = markup;
  return rt.text(std::move(result));
}

Value repeat(JinjaRuntime& rt, const Value& value, int64_t times) {
  const auto count = static_cast<size_t>(std::max<int64_t>(times, 0));
  if (value.is_text()) {
    JinjaTextBuilder builder;
    const bool empty = value.text->bytes.empty();
    for (size_t i = 0; !empty && i < count && !builder.overflowed(); ++i)
      builder.append(*value.text);
    return rt.text(builder);
  }
  std::vector<Value> items;
  const auto& once = value.sequence->items;
  for (size_t i = 0; !once.empty() && i < count; ++i) {
    if (!rt.charge(once.size() * sizeof(Value))) return {};
    items.insert(items.end(), once.begin(), once.end());
  }
  return rt.sequence(value.kind, std::move(items));
}

bool is_plain_sequence(const Value& value) {
  return value.is(Kind::list) || value.is(Kind::tuple);
}

/// Indices start, start + step, ... up to but without stop.
struct Slice {
  int64_t start = 0;
  int64_t stop = 0;
  int64_t step = 1;
};

/// Python's slice.indices for a sequence of `length`.
Slice resolve_slice(JinjaRuntime& rt, int64_t length, const std::array<Value, 3>& bounds) {
  auto given = [](const Value& v) { return !v.is_missing() && !v.is(Kind::none); };
  const int64_t step = given(bounds[2]) ? jinja_integer_arg(rt, bounds[2], 1) : 1;
  if (step == 0) rt.fail("slice step cannot be zero");
  const int64_t low = step < 0 ? -1 : 0, high = step < 0 ? length - 1 : length;
  auto place = [&](const Value& bound, int64_t fallback) {
    if (!given(bound)) return fallback;
    int64_t at = jinja_integer_arg(rt, bound, 0);
    if (at < 0) at = at < -length ? low : at + length;
    return std::clamp(at, low, std::max(low, high));
  };
  return {place(bounds[0], step < 0 ? high : low), place(bounds[1], step < 0 ? low : high), step};
}

std::vector<size_t> slice_indices(JinjaRuntime& rt, const Slice& slice) {
  std::vector<size_t> indices;
  for (int64_t at = slice.start; slice.step > 0 ? at < slice.stop : at > slice.stop;) {
    if (!rt.charge(sizeof(size_t))) break;
    indices.push_back(static_cast<size_t>(at));
    if (__builtin_add_overflow(at, slice.step, &at)) break;
  }
  return indices;
}

Value slice_text(JinjaRuntime& rt, const JinjaText& text, const Slice& slice) {
  if (!rt.charge(text.bytes.size())) return {};
  if (slice.step == 1) {
    const size_t begin = jinja_byte_offset(text, static_cast<size_t>(slice.start));
    const size_t end = jinja_byte_offset(text, static_cast<size_t>(slice.stop));
    return rt.text(jinja_cut(text, {begin, std::max(begin, end)}));
  }
  std::vector<size_t> offsets;  // of each character and of the end
  for (size_t at = 0; at < text.bytes.size(); next_char(text.bytes, at)) offsets.push_back(at);
  offsets.push_back(text.bytes.size());
  if (!rt.charge(offsets.size() * sizeof(size_t))) return {};
  JinjaTextBuilder builder;
  for (const size_t index : slice_indices(rt, slice))
    builder.append(text, {offsets[index], offsets[index + 1]});
  JinjaText result = builder.take();
  result.markup = text.markup;
  return rt.text(std::move(result));
}

/// A slice of a range is a range.
std::array<int64_t, 3> slice_range(const std::array<int64_t, 3>& range, const Slice& slice) {
  std::array<int64_t, 3> result = range;
  const bool overflow = __builtin_mul_overflow(range[2], slice.step, &result[2]);
  result[0] = range[0] + slice.start * range[2];
  result[1] = range[0] + slice.stop * range[2];
  return overflow ? range : result;
}

Value missing_item(JinjaRuntime& rt, const Value& value, const Value& key) {
  const std::string owner = std::string(jinja_type_name(value)) + " object";
  if (key.is_text())
    return rt.undefined(jinja_quoted(owner) + " has no attribute " + jinja_quoted(key.text->bytes));
  return rt.undefined(owner + " has no element " + jinja_str(rt, key)->bytes);
}

Value undefined_owner(JinjaRuntime& rt, const Value& value) {
  return rt.fail(value.text ? value.text->bytes : "undefined value");
}

}  // namespace

Value jinja_arithmetic(JinjaRuntime& rt, std::string_view op, const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral())
    return integer_arithmetic(rt, op, a.as_integer(), b.as_integer());
  if (a.is_number() && b.is_number()) return float_arithmetic(rt, op, a.as_double(), b.as_double());
  if (op == "+" && a.is_text() && b.is_text()) return add_texts(rt, *a.text, *b.text);
  if (op == "+" && a.kind == b.kind && is_plain_sequence(a)) {
    std::vector<Value> items = rt.iterate(a);
    const auto& more = b.sequence->items;
    if (rt.charge(more.size() * sizeof(Value))) items.insert(items.end(), more.begin(), more.end());
    return rt.sequence(a.kind, std::move(items));
  }
  if (op == "*" && b.is_integral() && (a.is_text() || is_plain_sequence(a)))
    return repeat(rt, a, b.as_integer());
  if (op == "*" && a.is_integral() && (b.is_text() || is_plain_sequence(b)))
    return repeat(rt, b, a.as_integer());
  if (op == "%" && a.is_text())
    return jinja_format_percent(rt, *a.text,
                                b.is(Kind::tuple) ? b.sequence->items : std::vector<Value>{b});
  return operand_error(rt, op, a, b);
}

Value jinja_negate(JinjaRuntime& rt, const Value& value) {
  if (value.is_integral()) return integer_arithmetic(rt, "-", 0, value.as_integer());
  if (value.is(Kind::floating)) return Value::of_floating(-value.floating);
  if (value.is_undefined()) return undefined_owner(rt, value);
  return rt.fail("bad operand type for unary -: " + jinja_quoted(jinja_type_name(value)));
}

Value jinja_attribute(JinjaRuntime& rt, const Value& value, std::string_view name) {
  if (value.is_undefined()) return undefined_owner(rt, value);
  if (value.is(Kind::dict) || value.is(Kind::space)) {
    if (value.is(Kind::dict)) {
      if (const JinjaBuiltin* method = jinja_find_method(value, name))
        return rt.method(value, *method);
    }
    if (!jinja_is_forbidden_method(value, name))
      if (const Value* found = rt.find(*value.dict, name)) return *found;
  } else if (const JinjaBuiltin* method = jinja_find_method(value, name)) {
    return rt.method(value, *method);
  }
  const std::string owner(jinja_type_name(value));
  if (jinja_is_forbidden_method(value, name))
    return rt.undefined("access to attribute " + jinja_quoted(name) + " of " + jinja_quoted(owner) +
                        " object is unsafe.");
  return rt.undefined(jinja_quoted(owner + " object") + " has no attribute " + jinja_quoted(name));
}

Value jinja_item(JinjaRuntime& rt, const Value& value, const Value& key) {
  if (value.is_undefined()) return undefined_owner(rt, value);
  if (value.is(Kind::dict)) {
    if (const Value* found = rt.find(*value.dict, key)) return *found;
  } else if (key.is_integral() &&
             (value.is_text() || is_plain_sequence(value) || value.is(Kind::range))) {
    const int64_t length = rt.length(value);
    const int64_t at = key.as_integer() < 0 ? key.as_integer() + length : key.as_integer();
    if (at < 0 || at >= length) return missing_item(rt, value, key);
    if (!value.is_text()) return value.sequence->items[static_cast<size_t>(at)];
    const JinjaText& text = *value.text;
    if (!text.ascii && !rt.charge(text.bytes.size())) return {};
    const size_t begin = jinja_byte_offset(text, static_cast<size_t>(at));
    size_t end = begin;
    next_char(text.bytes, end);
    return rt.text(jinja_cut(text, {begin, end}));
  }
  if (!key.is_text()) return missing_item(rt, value, key);
  return jinja_attribute(rt, value, key.text->bytes);
}

Value jinja_slice(JinjaRuntime& rt, const Value& value, const std::array<Value, 3>& bounds) {
  if (value.is_undefined()) return undefined_owner(rt, value);
  if (!value.is_text() && !is_plain_sequence(value) && !value.is(Kind::range))
    return rt.fail(jinja_quoted(jinja_type_name(value)) + " object cannot be sliced");
  const Slice slice = resolve_slice(rt, rt.length(value), bounds);
  if (rt.failed()) return {};
  if (value.is_text()) return slice_text(rt, *value.text, slice);
  std::vector<Value> items;
  for (const size_t at : slice_indices(rt, slice)) items.push_back(value.sequence->items[at]);
  Value result = rt.sequence(value.kind, std::move(items));
  if (value.is(Kind::range) && !rt.failed())
    result.sequence->bounds = slice_range(value.sequence->bounds, slice);
  return result;
}

Value jinja_path(JinjaRuntime& rt, Value value, const Value& path) {
  if (!path.is_text()) return jinja_item(rt, value, path);
  const std::string& names = path.text->bytes;
  for (size_t at = 0; at <= names.size() && !rt.failed();) {
    const size_t end = std::min(names.find('.', at), names.size());
    const std::string name = names.substr(at, end - at);
    const bool digits = !name.empty() && name.size() < 10 &&
                        name.find_first_not_of("0123456789") == std::string::npos;
    int64_t index = 0;
    if (digits) std::from_chars(name.data(), name.data() + name.size(), index);
    value = jinja_item(rt, value, digits ? Value::of_integer(index) : rt.text(name));
    at = end + 1;
  }
  return value;
}

int64_t jinja_integer_arg(JinjaRuntime& rt, const Value& value, int64_t fallback) {
  if (value.is_missing()) return fallback;
  if (value.is_integral()) return value.as_integer();
  if (value.is_undefined())
    undefined_owner(rt, value);
  else
    rt.fail(jinja_quoted(jinja_type_name(value)) + " object cannot be interpreted as an integer");
  return fallback;
}

}  // namespace sqf

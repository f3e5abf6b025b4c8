// Tests: what stands behind `is`.

#include "model/jinja/builtin.hpp"
#include "model/jinja/print.hpp"

namespace sqf {
namespace {

using Kind = JinjaValue::Kind;
using Value = JinjaValue;
using Args = JinjaArgs;

template <bool (*Test)(const Value&)>
Value plain(JinjaRuntime&, const Value& self, Args&) {
  return Value::of_bool(Test(self));
}

bool is_defined(const Value& v) {
  return !v.is_undefined();
}
bool is_undefined(const Value& v) {
  return v.is_undefined();
}
bool is_none(const Value& v) {
  return v.is(Kind::none);
}
bool is_boolean(const Value& v) {
  return v.is(Kind::boolean);
}
bool is_true(const Value& v) {
  return v.is(Kind::boolean) && v.boolean;
}
bool is_false(const Value& v) {
  return v.is(Kind::boolean) && !v.boolean;
}
bool is_integer(const Value& v) {
  return v.is(Kind::integer);
}
bool is_float(const Value& v) {
  return v.is(Kind::floating);
}
bool is_number(const Value& v) {
  return v.is_number();
}
bool is_string(const Value& v) {
  return v.is_text();
}
bool is_mapping(const Value& v) {
  return v.is(Kind::dict);
}
bool is_iterable(const Value& v) {
  return v.is_undefined() || v.is_text() || v.is(Kind::dict) || v.is_sequence() || v.is(Kind::loop);
}
/// Has a length and a way to be indexed; for the reference implementation, so has what is
/// undefined.
bool is_sequence(const Value& v) {
  return v.is_text() || v.is(Kind::dict) || v.is(Kind::list) || v.is(Kind::tuple) ||
         v.is(Kind::range) || v.is_undefined();
}
bool is_callable(const Value& v) {
  return v.is(Kind::macro) || v.is(Kind::method) || v.is(Kind::function) || v.is(Kind::loop) ||
         v.is_undefined();
}
bool is_escaped(const Value& v) {
  return v.is_text() && v.text->markup;
}

template <bool Negated>
Value equals(JinjaRuntime& rt, const Value& self, Args& args) {
  return Value::of_bool(rt.equal(self, args.positional[0]) != Negated);
}

template <bool Swapped, bool Negated>
Value ordered(JinjaRuntime& rt, const Value& self, Args& args) {
  const Value& other = args.positional[0];
  return Value::of_bool((Swapped ? rt.less(other, self) : rt.less(self, other)) != Negated);
}

Value is_in(JinjaRuntime& rt, const Value& self, Args& args) {
  return Value::of_bool(rt.contains(args.positional[0], self));
}

Value same_as(JinjaRuntime& rt, const Value& self, Args& args) {
  const Value& other = args.positional[0];
  if (self.kind != other.kind) return Value::of_bool(false);
  if (self.is_text()) return Value::of_bool(self.text == other.text);
  if (self.is_sequence()) return Value::of_bool(self.sequence == other.sequence);
  if (self.is(Kind::dict)) return Value::of_bool(self.dict == other.dict);
  return Value::of_bool(rt.equal(self, other));
}

bool remainder_is(JinjaRuntime& rt, const Value& self, const Value& divisor, int64_t wanted) {
  const Value rest = jinja_arithmetic(rt, "%", self, divisor);
  return !rt.failed() && rt.equal(rest, Value::of_integer(wanted));
}

template <int64_t Wanted>
Value parity(JinjaRuntime& rt, const Value& self, Args&) {
  return Value::of_bool(remainder_is(rt, self, Value::of_integer(2), Wanted));
}

Value divisible_by(JinjaRuntime& rt, const Value& self, Args& args) {
  return Value::of_bool(remainder_is(rt, self, args.positional[0], 0));
}

template <bool Upper>
Value is_case(JinjaRuntime& rt, const Value& self, Args&) {
  Value text;
  text.kind = Kind::text;
  text.text = jinja_str(rt, self);
  const JinjaBuiltin* method = jinja_find_method(text, Upper ? "isupper" : "islower");
  return jinja_call(rt, *method, text, {});
}

Value is_filter(JinjaRuntime& rt, const Value& self, Args&) {
  return Value::of_bool(jinja_find_filter(jinja_str(rt, self)->bytes) != nullptr);
}

Value is_test(JinjaRuntime& rt, const Value& self, Args&) {
  return Value::of_bool(jinja_find_test(jinja_str(rt, self)->bytes) != nullptr);
}

constexpr JinjaBuiltin kTests[] = {
    {"defined", plain<is_defined>},
    {"undefined", plain<is_undefined>},
    {"none", plain<is_none>},
    {"boolean", plain<is_boolean>},
    {"true", plain<is_true>},
    {"false", plain<is_false>},
    {"integer", plain<is_integer>},
    {"float", plain<is_float>},
    {"number", plain<is_number>},
    {"string", plain<is_string>},
    {"mapping", plain<is_mapping>},
    {"iterable", plain<is_iterable>},
    {"sequence", plain<is_sequence>},
    {"callable", plain<is_callable>},
    {"escaped", plain<is_escaped>},
    {"odd", parity<1>},
    {"even", parity<0>},
    {"divisibleby", divisible_by, {"num"}, 1},
    {"lower", is_case<false>},
    {"upper", is_case<true>},
    {"sameas", same_as, {"other"}, 1},
    {"in", is_in, {"seq"}, 1},
    {"filter", is_filter},
    {"test", is_test},
    {"eq", equals<false>, {"b"}, 1},
    {"equalto", equals<false>, {"b"}, 1},
    {"==", equals<false>, {"b"}, 1},
    {"ne", equals<true>, {"b"}, 1},
    {"!=", equals<true>, {"b"}, 1},
    {"lt", ordered<false, false>, {"b"}, 1},
    {"lessthan", ordered<false, false>, {"b"}, 1},
    {"<", ordered<false, false>, {"b"}, 1},
    {"gt", ordered<true, false>, {"b"}, 1},
    {"greaterthan", ordered<true, false>, {"b"}, 1},
    {">", ordered<true, false>, {"b"}, 1},
    {"le", ordered<true, true>, {"b"}, 1},
    {"<=", ordered<true, true>, {"b"}, 1},
    {"ge", ordered<false, true>, {"b"}, 1},
    {">=", ordered<false, true>, {"b"}, 1},
};

}  // namespace

JinjaTable jinja_tests() {
  return {std::begin(kTests), std::end(kTests)};
}

}  // namespace sqf

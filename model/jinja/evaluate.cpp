// Evaluation of expressions.

#include "model/jinja/builtin.hpp"
#include "model/jinja/interpreter.hpp"
#include "model/jinja/print.hpp"

namespace sqf {

using Kind = JinjaExpr::Kind;
using Value = JinjaValue;

Value JinjaInterpreter::evaluate(const JinjaExpr& expr) {
  if (rt_.failed() || !rt_.charge(16)) return {};
  if (expr.kind == Kind::literal) return expr.literal;
  rt_.set_line(expr.line);
  Value result;
  if (rt_.enter()) result = evaluate_kind(expr);
  rt_.leave();
  return rt_.failed() ? Value{} : result;
}

Value JinjaInterpreter::evaluate_kind(const JinjaExpr& expr) {
  const auto& children = expr.children;
  switch (expr.kind) {
    case Kind::literal:
      return expr.literal;
    case Kind::name:
      return evaluate_name(expr);
    case Kind::list:
      return evaluate_items(expr, Value::Kind::list);
    case Kind::tuple:
      return evaluate_items(expr, Value::Kind::tuple);
    case Kind::dict:
      return evaluate_dict(expr);
    case Kind::attribute: {
      const Value object = evaluate(*children[0]);
      return rt_.failed() ? Value{} : attribute(object, expr.name);
    }
    case Kind::item: {
      const Value object = evaluate(*children[0]), key = evaluate(*children[1]);
      if (rt_.failed()) return {};
      if (object.is(Value::Kind::loop) && key.is_text()) return attribute(object, key.text->bytes);
      return jinja_item(rt_, object, key);
    }
    case Kind::slice:
      return evaluate_slice(expr);
    case Kind::call:
      return evaluate_call(expr);
    case Kind::filter:
      return evaluate_filter(expr, nullptr);
    case Kind::test:
      return evaluate_test(expr);
    case Kind::logical_not:
      return Value::of_bool(!rt_.truthy(evaluate(*children[0])));
    case Kind::negate: {
      const Value value = evaluate(*children[0]);
      return rt_.failed() ? Value{} : jinja_negate(rt_, value);
    }
    case Kind::positive: {
      const Value value = evaluate(*children[0]);
      return rt_.failed() ? Value{} : jinja_arithmetic(rt_, "+", Value::of_integer(0), value);
    }
    case Kind::logical_and:
      return evaluate_logical(expr, false);
    case Kind::logical_or:
      return evaluate_logical(expr, true);
    case Kind::concat:
      return evaluate_concat(expr);
    case Kind::compare:
      return evaluate_compare(expr);
    case Kind::arithmetic:
      return evaluate_arithmetic(expr);
    case Kind::conditional:
      return evaluate_conditional(expr);
  }
  return {};
}

Value JinjaInterpreter::evaluate_name(const JinjaExpr& expr) {
  if (const Value* found = lookup(expr.symbol)) return *found;
  return rt_.failed() ? Value{} : rt_.undefined("'" + expr.name + "' is undefined");
}

Value JinjaInterpreter::evaluate_items(const JinjaExpr& expr, Value::Kind kind) {
  std::vector<Value> items;
  for (Expr child : expr.children) items.push_back(evaluate(*child));
  return rt_.sequence(kind, std::move(items));
}

Value JinjaInterpreter::evaluate_dict(const JinjaExpr& expr) {
  JinjaDict made;
  for (size_t i = 0; i + 1 < expr.children.size() && !rt_.failed(); i += 2) {
    Value key = evaluate(*expr.children[i]);
    rt_.put(made, std::move(key), evaluate(*expr.children[i + 1]));
  }
  return rt_.dict(std::move(made));
}

/// `and` and `or` give the operand that decided.
Value JinjaInterpreter::evaluate_logical(const JinjaExpr& expr, bool stop_at) {
  Value value;
  for (Expr child : expr.children) {
    value = evaluate(*child);
    if (rt_.failed() || rt_.truthy(value) == stop_at) break;
  }
  return value;
}

Value JinjaInterpreter::evaluate_compare(const JinjaExpr& expr) {
  Value left = evaluate(*expr.children[0]);
  for (size_t i = 0; i < expr.ops.size(); ++i) {
    Value right = evaluate(*expr.children[i + 1]);
    if (rt_.failed()) return {};
    const std::string& op = expr.ops[i];
    bool holds = false;
    if (op == "==") holds = rt_.equal(left, right);
    if (op == "!=") holds = !rt_.equal(left, right);
    if (op == "<") holds = rt_.less(left, right);
    if (op == ">") holds = rt_.less(right, left);
    if (op == "<=") holds = rt_.less(left, right) || rt_.equal(left, right);
    if (op == ">=") holds = rt_.less(right, left) || rt_.equal(left, right);
    if (op == "in") holds = rt_.contains(right, left);
    if (op == "not in") holds = !rt_.contains(right, left);
    if (!holds) return Value::of_bool(false);
    left = std::move(right);
  }
  return Value::of_bool(true);
}

Value JinjaInterpreter::evaluate_arithmetic(const JinjaExpr& expr) {
  Value left = evaluate(*expr.children[0]);
  for (size_t i = 0; i < expr.ops.size(); ++i) {
    const Value right = evaluate(*expr.children[i + 1]);
    if (rt_.failed()) return {};
    rt_.set_line(expr.line);
    left = jinja_arithmetic(rt_, expr.ops[i], left, right);
  }
  return left;
}

Value JinjaInterpreter::evaluate_concat(const JinjaExpr& expr) {
  JinjaTextBuilder text;
  for (Expr child : expr.children) {
    const Value value = evaluate(*child);
    if (rt_.failed()) return {};
    jinja_print(rt_, text, value);
  }
  return rt_.text(text);
}

Value JinjaInterpreter::evaluate_conditional(const JinjaExpr& expr) {
  const Value condition = evaluate(*expr.children[0]);
  if (rt_.failed()) return {};
  if (rt_.truthy(condition)) return evaluate(*expr.children[1]);
  if (expr.children[2]) return evaluate(*expr.children[2]);
  return rt_.undefined(
      "the inline if-expression evaluated to false and no else section was defined.");
}

Value JinjaInterpreter::evaluate_slice(const JinjaExpr& expr) {
  const Value object = evaluate(*expr.children[0]);
  std::array<Value, 3> bounds;
  for (size_t i = 0; i < 3; ++i) {
    if (Expr bound = expr.children[i + 1])
      bounds[i] = evaluate(*bound);
    else
      bounds[i].kind = Value::Kind::missing;
  }
  return rt_.failed() ? Value{} : jinja_slice(rt_, object, bounds);
}

JinjaArgs JinjaInterpreter::arguments(const JinjaExpr& expr, size_t first) {
  JinjaArgs args;
  for (size_t i = first; i < expr.children.size(); ++i)
    args.positional.push_back(evaluate(*expr.children[i]));
  for (const auto& [name, value] : expr.named) args.named.emplace_back(name, evaluate(*value));
  if (expr.star)
    for (Value& item : rt_.iterate(evaluate(*expr.star)))
      args.positional.push_back(std::move(item));
  if (!expr.double_star || rt_.failed()) return args;
  const Value more = evaluate(*expr.double_star);
  if (!rt_.failed() && !more.is(Value::Kind::dict)) rt_.fail("argument after ** must be a mapping");
  if (rt_.failed()) return args;
  for (const auto& [key, value] : more.dict->entries) {
    if (!key.is_text()) rt_.fail("keywords must be strings");
    if (args.named.size() > 255) rt_.fail_limit("passes too many arguments");
    if (rt_.failed()) return args;
    for (const auto& [name, _] : args.named)
      if (name == key.text->bytes)
        rt_.fail("got multiple values for keyword argument '" + name + "'");
    args.named.emplace_back(key.text->bytes, value);
  }
  return args;
}

Value JinjaInterpreter::evaluate_filter(const JinjaExpr& expr, const Value* block_text) {
  Value input;
  if (!expr.children[0]) {
    if (block_text) input = *block_text;
  } else if (block_text) {  // a chain over a block is made of filters down to its text
    if (rt_.enter()) input = evaluate_filter(*expr.children[0], block_text);
    rt_.leave();
  } else {
    input = evaluate(*expr.children[0]);
  }
  JinjaArgs args = arguments(expr, 1);
  if (rt_.failed()) return {};
  rt_.set_line(expr.line);
  if (expr.builtin) return jinja_call(rt_, *expr.builtin, input, std::move(args));
  if (jinja_is_known_filter(expr.name))
    return rt_.fail_unsupported("the filter '" + expr.name + "'");
  return rt_.fail("No filter named '" + expr.name + "' found.");
}

Value JinjaInterpreter::evaluate_test(const JinjaExpr& expr) {
  const Value input = evaluate(*expr.children[0]);
  JinjaArgs args = arguments(expr, 1);
  if (rt_.failed()) return {};
  if (!expr.builtin) return rt_.fail("No test named '" + expr.name + "' found.");
  return jinja_call(rt_, *expr.builtin, input, std::move(args));
}

Value JinjaInterpreter::attribute(const Value& value, const std::string& name) {
  return value.is(Value::Kind::loop) ? loop_attribute(*value.loop, name)
                                     : jinja_attribute(rt_, value, name);
}

Value JinjaInterpreter::evaluate_call(const JinjaExpr& expr, const Value* caller) {
  const JinjaExpr& target = *expr.children[0];
  Value callee;
  if (target.kind == Kind::attribute) {
    const Value object = evaluate(*target.children[0]);
    const bool of_loop =
        object.is(Value::Kind::loop) && (target.name == "cycle" || target.name == "changed");
    if (of_loop && !rt_.failed()) return loop_method(*object.loop, target.name, arguments(expr, 1));
    if (!rt_.failed()) callee = attribute(object, target.name);
  } else {
    callee = evaluate(target);
  }
  JinjaArgs args = arguments(expr, 1);
  if (caller) args.named.emplace_back("caller", *caller);
  if (rt_.failed()) return {};
  rt_.set_line(expr.line);
  return call_value(callee, std::move(args));
}

Value JinjaInterpreter::call_value(const Value& callee, JinjaArgs args) {
  switch (callee.kind) {
    case Value::Kind::function:
      return jinja_call(rt_, *callee.function, {}, std::move(args));
    case Value::Kind::method:
      return jinja_call(rt_, *callee.method->builtin, callee.method->receiver, std::move(args));
    case Value::Kind::macro:
      return call_macro(*callee.macro, std::move(args));
    case Value::Kind::loop:
      return call_loop(*callee.loop, std::move(args));
    case Value::Kind::undefined:
      return rt_.fail(callee.text ? callee.text->bytes : "undefined value");
    default:
      return rt_.fail(jinja_quoted(jinja_type_name(callee)) + " object is not callable");
  }
}

}  // namespace sqf

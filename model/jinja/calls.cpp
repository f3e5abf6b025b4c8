// Macros, call blocks and the loop variable.

#include <algorithm>

#include "model/jinja/builtin.hpp"
#include "model/jinja/interpreter.hpp"

namespace sqf {

using Value = JinjaValue;

namespace {

/// Takes a named argument out of the list.
bool take_named(JinjaArgs& args, const std::string& name, Value& into) {
  const auto found = std::find_if(args.named.begin(), args.named.end(),
                                  [&](const auto& entry) { return entry.first == name; });
  if (found == args.named.end()) return false;
  into = found->second;
  args.named.erase(found);
  return true;
}

}  // namespace

/// Sets parameters and special variables in the current scope, which is the macro's own.
void JinjaInterpreter::bind_macro(const JinjaMacro& macro, JinjaArgs& args) {
  const JinjaSignature& signature = macro.statement->signature;
  const std::string& name = macro.statement->name;
  const size_t count = signature.symbols.size();
  const size_t first_default = count - signature.defaults.size();
  for (size_t i = 0; i < count && !rt_.failed(); ++i) {
    Value value;
    if (i < args.positional.size())
      value = args.positional[i];
    else if (take_named(args, signature.names[i], value))
      ;
    else if (i >= first_default)
      value = evaluate(*signature.defaults[i - first_default]);
    else
      value = rt_.undefined("parameter '" + signature.names[i] + "' was not provided");
    assign_symbol(signature.symbols[i], value);
  }
  if (signature.takes_caller) {
    Value caller;
    if (!take_named(args, "caller", caller)) caller = rt_.undefined("No caller defined");
    assign_symbol(program_.caller_symbol, caller);
  }
  if (signature.takes_kwargs) {
    JinjaDict rest;
    for (auto& [key, value] : args.named) rt_.put(rest, rt_.text(key), value);
    assign_symbol(program_.kwargs_symbol, rt_.dict(std::move(rest)));
  } else if (!args.named.empty()) {
    rt_.fail("macro '" + name + "' takes no keyword argument '" + args.named.front().first + "'");
  }
  std::vector<Value> rest;
  for (size_t i = count; i < args.positional.size(); ++i) rest.push_back(args.positional[i]);
  if (signature.takes_varargs)
    assign_symbol(program_.varargs_symbol, rt_.sequence(Value::Kind::tuple, std::move(rest)));
  else if (!rest.empty())
    rt_.fail("macro '" + name + "' takes not more than " + std::to_string(count) + " argument(s)");
}

Value JinjaInterpreter::call_macro(const JinjaMacro& macro, JinjaArgs args) {
  JinjaScope* const outer = std::exchange(scope_, new_scope(macro.scope));
  JinjaScope* const inner = scope_;
  bind_macro(macro, args);
  scope_ = outer;
  return rt_.failed() ? Value{} : captured(macro.statement->bodies[0], inner);
}

Value JinjaInterpreter::loop_attribute(JinjaLoop& loop, const std::string& name) {
  const auto index = static_cast<int64_t>(loop.index);
  const auto length = static_cast<int64_t>(loop.items->size());
  if (name == "index") return Value::of_integer(index + 1);
  if (name == "index0") return Value::of_integer(index);
  if (name == "revindex") return Value::of_integer(length - index);
  if (name == "revindex0") return Value::of_integer(length - index - 1);
  if (name == "first") return Value::of_bool(index == 0);
  if (name == "last") return Value::of_bool(index + 1 >= length);
  if (name == "length") return Value::of_integer(length);
  if (name == "depth") return Value::of_integer(loop.depth);
  if (name == "depth0") return Value::of_integer(loop.depth - 1);
  if (name == "previtem") {
    if (index == 0 || index > length) return rt_.undefined("there is no previous item");
    return (*loop.items)[loop.index - 1];
  }
  if (name == "nextitem") {
    if (index + 1 >= length) return rt_.undefined("there is no next item");
    return (*loop.items)[loop.index + 1];
  }
  if (name == "cycle" || name == "changed")
    return rt_.fail_unsupported("loop." + name + " without a call");
  return rt_.undefined("'jinja2.runtime.LoopContext object' has no attribute '" + name + "'");
}

Value JinjaInterpreter::loop_method(JinjaLoop& loop, const std::string& name, JinjaArgs args) {
  if (rt_.failed()) return {};
  if (name == "cycle") {
    if (args.positional.empty()) return rt_.fail("no items for cycling given");
    return args.positional[loop.index % args.positional.size()];
  }
  const Value now = rt_.sequence(Value::Kind::tuple, std::move(args.positional));
  const bool changed = !rt_.equal(loop.last_changed, now);
  loop.last_changed = now;
  return Value::of_bool(changed);
}

/// loop(items): the body of a recursive loop once more, over other items.
Value JinjaInterpreter::call_loop(JinjaLoop& loop, JinjaArgs args) {
  if (!loop.statement) return rt_.fail("a loop that is over cannot be called");
  if (!loop.statement->recursive)
    return rt_.fail("The loop must have the 'recursive' marker to be called recursively.");
  if (args.positional.size() != 1) return rt_.fail("loop() takes one argument");
  JinjaScope* const outer = std::exchange(scope_, loop.scope);
  outputs_.emplace_back();
  execute_loop(*loop.statement, args.positional[0], loop.depth + 1);
  JinjaTextBuilder text = std::move(outputs_.back());
  outputs_.pop_back();
  scope_ = outer;
  return rt_.failed() ? Value{} : rt_.text(text);
}

}  // namespace sqf

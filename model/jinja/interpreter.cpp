#include "model/jinja/interpreter.hpp"

#include <algorithm>

#include "model/jinja/builtin.hpp"
#include "model/jinja/print.hpp"

namespace sqf {

using Kind = JinjaStatement::Kind;
using Value = JinjaValue;

JinjaInterpreter::JinjaInterpreter(const JinjaProgram& program, JinjaRuntime& runtime)
    : program_(program), rt_(runtime) {
  Value missing;
  missing.kind = Value::Kind::missing;
  globals_.resize(program.symbols.size(), missing);
  for (size_t i = 0; i < globals_.size(); ++i) {
    const JinjaBuiltin* function = jinja_find_function(program.symbols[i]);
    if (!function) continue;
    globals_[i].kind = Value::Kind::function;
    globals_[i].function = function;
  }
}

bool JinjaInterpreter::uses(const std::string& name) const {
  return std::find(program_.symbols.begin(), program_.symbols.end(), name) !=
         program_.symbols.end();
}

void JinjaInterpreter::define(const std::string& name, Value value) {
  const auto at = std::find(program_.symbols.begin(), program_.symbols.end(), name);
  if (at != program_.symbols.end())
    globals_[static_cast<size_t>(at - program_.symbols.begin())] = std::move(value);
}

JinjaText JinjaInterpreter::run() {
  outputs_.emplace_back();
  execute(program_.body);
  return outputs_.back().take();
}

JinjaScope* JinjaInterpreter::new_scope(JinjaScope* parent) {
  rt_.charge(2 * sizeof(JinjaScope));
  scopes_.push_back({parent, {}});
  return &scopes_.back();
}

const Value* JinjaInterpreter::lookup(int symbol) {
  for (JinjaScope* scope = scope_; scope; scope = scope->parent) {
    if (!rt_.charge(scope->variables.size())) return nullptr;
    for (const auto& [held, value] : scope->variables)
      if (held == symbol) return &value;
  }
  const Value& global = globals_[static_cast<size_t>(symbol)];
  return global.is_missing() ? nullptr : &global;
}

void JinjaInterpreter::assign_symbol(int symbol, const Value& value) {
  if (!scope_) {
    globals_[static_cast<size_t>(symbol)] = value;
    return;
  }
  if (!rt_.charge(scope_->variables.size())) return;
  for (auto& [held, old] : scope_->variables) {
    if (held != symbol) continue;
    old = value;
    return;
  }
  if (rt_.charge(sizeof(Value))) scope_->variables.emplace_back(symbol, value);
}

void JinjaInterpreter::assign(Expr target, const Value& value) {
  if (rt_.failed()) return;
  if (target->kind == JinjaExpr::Kind::name) return assign_symbol(target->symbol, value);
  if (target->kind == JinjaExpr::Kind::attribute) {
    const Value owner = evaluate(*target->children[0]);
    if (rt_.failed()) return;
    if (owner.is(Value::Kind::space))
      rt_.put(*owner.dict, rt_.text(target->name), value);
    else
      rt_.fail("cannot assign attribute on non-namespace object");
    return;
  }
  const std::vector<Value> items = rt_.iterate(value);
  const size_t wanted = target->children.size();
  if (!rt_.failed() && items.size() != wanted)
    rt_.fail((items.size() < wanted ? "not enough" : "too many") +
             std::string(" values to unpack (expected ") + std::to_string(wanted) + ", got " +
             std::to_string(items.size()) + ")");
  for (size_t i = 0; i < wanted && !rt_.failed(); ++i) assign(target->children[i], items[i]);
}

void JinjaInterpreter::emit(const Value& value) {
  jinja_print(rt_, outputs_.back(), value);
}

/// The output of a block run in a scope of its own.
Value JinjaInterpreter::captured(const JinjaBlock& block, JinjaScope* scope) {
  JinjaScope* const outer = std::exchange(scope_, scope);
  outputs_.emplace_back();
  execute(block);
  JinjaTextBuilder text = std::move(outputs_.back());
  outputs_.pop_back();
  scope_ = outer;
  return rt_.failed() ? Value{} : rt_.text(text);
}

JinjaInterpreter::Flow JinjaInterpreter::execute(const JinjaBlock& block) {
  for (const JinjaStatement& statement : block) {
    const Flow flow = execute(statement);
    if (rt_.failed()) return Flow::broke;
    if (flow != Flow::normal) return flow;
  }
  return Flow::normal;
}

JinjaInterpreter::Flow JinjaInterpreter::execute(const JinjaStatement& statement) {
  Flow flow = Flow::normal;
  rt_.set_line(statement.line);
  if (!rt_.charge(16)) return Flow::broke;
  if (rt_.enter()) {
    switch (statement.kind) {
      case Kind::text:
        if (rt_.charge(statement.text->bytes.size())) outputs_.back().append(*statement.text);
        if (outputs_.back().overflowed()) rt_.fail_limit("writes more than 16 MiB");
        break;
      case Kind::print:
        for (Expr expr : statement.exprs) emit(evaluate(*expr));
        break;
      case Kind::branch:
        flow = execute_branch(statement);
        break;
      case Kind::loop:
        execute_loop(statement, evaluate(*statement.exprs[1]), 1);
        break;
      case Kind::set:
        assign(statement.exprs[0], evaluate(*statement.exprs[1]));
        break;
      case Kind::set_block:
        execute_set_block(statement);
        break;
      case Kind::macro: {
        Value macro;
        macro.kind = Value::Kind::macro;
        if (rt_.charge(sizeof(JinjaMacro)))
          macro.macro = &macros_.emplace_back(JinjaMacro{&statement, scope_});
        assign_symbol(statement.symbol, macro);
        break;
      }
      case Kind::call:
        execute_call_block(statement);
        break;
      case Kind::filter_block: {
        const Value text = captured(statement.bodies[0], new_scope(scope_));
        if (!rt_.failed()) emit(evaluate_filter(*statement.exprs[0], &text));
        break;
      }
      case Kind::with:
        flow = execute_with(statement);
        break;
      case Kind::scope:
        execute_scope(statement);
        break;
      case Kind::loop_break:
        flow = Flow::broke;
        break;
      case Kind::loop_continue:
        flow = Flow::continued;
        break;
    }
  }
  rt_.leave();
  return flow;
}

JinjaInterpreter::Flow JinjaInterpreter::execute_branch(const JinjaStatement& statement) {
  for (size_t i = 0; i < statement.exprs.size(); ++i) {
    const Value condition = evaluate(*statement.exprs[i]);
    if (rt_.failed()) return Flow::broke;
    if (rt_.truthy(condition)) return execute(statement.bodies[i]);
  }
  const bool has_else = statement.bodies.size() > statement.exprs.size();
  return has_else ? execute(statement.bodies.back()) : Flow::normal;
}

/// Items that pass the loop's `if`. All are tried before the first is run.
std::vector<Value> JinjaInterpreter::select_items(const JinjaStatement& statement,
                                                  std::vector<Value> items) {
  if (!statement.exprs[2]) return items;
  std::vector<Value> kept;
  JinjaScope* const outer = scope_;
  for (const Value& item : items) {
    if (!rt_.charge_iteration()) break;
    scope_ = new_scope(outer);
    assign(statement.exprs[0], item);
    const bool keep = rt_.truthy(evaluate(*statement.exprs[2]));
    if (rt_.failed()) break;
    if (keep) kept.push_back(item);
  }
  scope_ = outer;
  return kept;
}

JinjaInterpreter::Flow JinjaInterpreter::execute_loop(const JinjaStatement& statement,
                                                      const Value& iterable, int64_t depth) {
  if (rt_.failed()) return Flow::broke;
  const std::vector<Value> items = select_items(statement, rt_.iterate(iterable));
  if (rt_.failed()) return Flow::broke;
  if (!items.empty()) return run_items(statement, items, depth);
  if (statement.bodies.size() < 2) return Flow::normal;
  JinjaScope* const outer = scope_;
  scope_ = new_scope(outer);
  execute(statement.bodies[1]);
  scope_ = outer;
  return Flow::normal;
}

JinjaInterpreter::Flow JinjaInterpreter::run_items(const JinjaStatement& statement,
                                                   const std::vector<Value>& items, int64_t depth) {
  JinjaScope* const outer = scope_;
  if (!rt_.charge(sizeof(JinjaLoop))) return Flow::broke;
  JinjaLoop& loop = loops_.emplace_back();
  loop.statement = &statement;
  loop.scope = outer;
  loop.items = &items;
  loop.depth = depth;
  Value loop_value;
  loop_value.kind = Value::Kind::loop;
  loop_value.loop = &loop;
  for (; loop.index < items.size() && !rt_.failed(); ++loop.index) {
    if (!rt_.charge_iteration()) break;
    const size_t scopes = scopes_.size(), macros = macros_.size();
    scope_ = new_scope(outer);
    assign_symbol(program_.loop_symbol, loop_value);
    assign(statement.exprs[0], items[loop.index]);
    const Flow flow = rt_.failed() ? Flow::broke : execute(statement.bodies[0]);
    scope_ = outer;
    // Unless a macro was made inside, which may have kept hold of it, the scope can go.
    if (macros_.size() == macros) scopes_.resize(scopes);
    if (flow == Flow::broke) break;
  }
  scope_ = outer;
  static const std::vector<Value> none;
  loop.items = &none;  // a namespace may have kept hold of `loop`, but not of what it points at
  loop.statement = nullptr;
  loop.scope = nullptr;
  return Flow::normal;
}

void JinjaInterpreter::execute_set_block(const JinjaStatement& statement) {
  const Value text = captured(statement.bodies[0], new_scope(scope_));
  if (rt_.failed()) return;
  assign(statement.exprs[0],
         statement.exprs[1] ? evaluate_filter(*statement.exprs[1], &text) : text);
}

void JinjaInterpreter::execute_call_block(const JinjaStatement& statement) {
  Value caller;
  caller.kind = Value::Kind::macro;
  if (!rt_.charge(sizeof(JinjaMacro))) return;
  caller.macro = &macros_.emplace_back(JinjaMacro{&statement, scope_});
  const Value text = evaluate_call(*statement.exprs[0], &caller);
  if (!rt_.failed()) emit(text);
}

JinjaInterpreter::Flow JinjaInterpreter::execute_with(const JinjaStatement& statement) {
  std::vector<Value> values;  // all of them see the scope outside
  for (size_t i = 1; i < statement.exprs.size(); i += 2)
    values.push_back(evaluate(*statement.exprs[i]));
  JinjaScope* const outer = scope_;
  scope_ = new_scope(outer);
  for (size_t i = 0; i < values.size() && !rt_.failed(); ++i)
    assign(statement.exprs[2 * i], values[i]);
  const Flow flow = rt_.failed() ? Flow::broke : execute(statement.bodies[0]);
  scope_ = outer;
  return flow;
}

void JinjaInterpreter::execute_scope(const JinjaStatement& statement) {
  JinjaScope* const outer = scope_;
  scope_ = new_scope(outer);
  execute(statement.bodies[0]);
  scope_ = outer;
}

}  // namespace sqf

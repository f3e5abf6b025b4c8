#pragma once
// Runs a program. Scopes are lexical: a loop body, macro, `with` and the like see what is around
// them and keep their own assignments to themselves; `if` opens no scope.

#include <deque>
#include <utility>
#include <vector>

#include "model/jinja/ast.hpp"
#include "model/jinja/value.hpp"

namespace sqf {

struct JinjaScope {
  JinjaScope* parent = nullptr;
  std::vector<std::pair<int, JinjaValue>> variables;  ///< by symbol
};

/// A macro or the body of a call block, with the scope it was written in.
struct JinjaMacro {
  const JinjaStatement* statement = nullptr;
  JinjaScope* scope = nullptr;
};

/// What `loop` is inside a for body.
struct JinjaLoop {
  const JinjaStatement* statement = nullptr;
  JinjaScope* scope = nullptr;  ///< around the loop
  const std::vector<JinjaValue>* items = nullptr;
  size_t index = 0;
  int64_t depth = 1;
  JinjaValue last_changed;
};

class JinjaInterpreter {
 public:
  JinjaInterpreter(const JinjaProgram& program, JinjaRuntime& runtime);

  /// Sets a global variable; names the program does not mention are ignored.
  bool uses(const std::string& name) const;
  void define(const std::string& name, JinjaValue value);
  JinjaText run();

 private:
  using Expr = const JinjaExpr*;
  using Value = JinjaValue;
  enum class Flow : uint8_t { normal, broke, continued };

  // interpreter.cpp: statements
  Flow execute(const JinjaBlock& block);
  Flow execute(const JinjaStatement& statement);
  Flow execute_branch(const JinjaStatement& statement);
  Flow execute_loop(const JinjaStatement& statement, const Value& iterable, int64_t depth);
  Flow run_items(const JinjaStatement& statement, const std::vector<Value>& items, int64_t depth);
  std::vector<Value> select_items(const JinjaStatement& statement, std::vector<Value> items);
  void execute_set_block(const JinjaStatement& statement);
  void execute_call_block(const JinjaStatement& statement);
  Flow execute_with(const JinjaStatement& statement);
  void execute_scope(const JinjaStatement& statement);
  Value captured(const JinjaBlock& block, JinjaScope* scope);
  void emit(const Value& value);
  void assign(Expr target, const Value& value);
  void assign_symbol(int symbol, const Value& value);
  JinjaScope* new_scope(JinjaScope* parent);
  const Value* lookup(int symbol);

  // evaluate.cpp: expressions
  Value evaluate(const JinjaExpr& expr);
  Value evaluate_kind(const JinjaExpr& expr);
  Value evaluate_name(const JinjaExpr& expr);
  Value evaluate_items(const JinjaExpr& expr, Value::Kind kind);
  Value evaluate_dict(const JinjaExpr& expr);
  Value evaluate_logical(const JinjaExpr& expr, bool stop_at);
  Value evaluate_compare(const JinjaExpr& expr);
  Value evaluate_arithmetic(const JinjaExpr& expr);
  Value evaluate_concat(const JinjaExpr& expr);
  Value evaluate_conditional(const JinjaExpr& expr);
  Value evaluate_slice(const JinjaExpr& expr);
  Value evaluate_filter(const JinjaExpr& expr, const Value* block_text);
  Value evaluate_test(const JinjaExpr& expr);
  Value evaluate_call(const JinjaExpr& expr, const Value* caller = nullptr);
  JinjaArgs arguments(const JinjaExpr& expr, size_t first);
  Value attribute(const Value& value, const std::string& name);
  Value call_value(const Value& callee, JinjaArgs args);
  Value call_macro(const JinjaMacro& macro, JinjaArgs args);
  void bind_macro(const JinjaMacro& macro, JinjaArgs& args);
  Value loop_attribute(JinjaLoop& loop, const std::string& name);
  Value call_loop(JinjaLoop& loop, JinjaArgs args);
  Value loop_method(JinjaLoop& loop, const std::string& name, JinjaArgs args);

  const JinjaProgram& program_;
  JinjaRuntime& rt_;
  std::deque<JinjaScope> scopes_;
  std::deque<JinjaMacro> macros_;
  std::deque<JinjaLoop> loops_;
  std::vector<Value> globals_;   ///< by symbol; Kind::missing where unset
  JinjaScope* scope_ = nullptr;  ///< null at the top level
  std::vector<JinjaTextBuilder> outputs_;
};

}  // namespace sqf

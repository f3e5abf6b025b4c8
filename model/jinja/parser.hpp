#pragma once
// Tokens to a program. Follows the grammar of Jinja 3.1; refuses what that refuses, and names the
// constructs it has and this engine leaves out (include, import, extends, block, autoescape).

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "format/result.hpp"
#include "model/jinja/ast.hpp"
#include "model/jinja/lexer.hpp"

namespace sqf {

/// Parses a whole template. Errors: malformed with line and column, unsupported with the construct.
Result<JinjaProgram> jinja_parse(std::string_view source);

/// One parse. After an error every token reads as the end of the source, so that all loops end.
class JinjaParser {
 public:
  JinjaParser(std::string_view source, std::vector<JinjaToken> tokens);
  Result<JinjaProgram> run();

 private:
  using Expr = const JinjaExpr*;
  using TokenKind = JinjaToken::Kind;

  // parser.cpp: tokens and errors
  const JinjaToken& current() const { return tokens_[at_]; }
  const JinjaToken& ahead() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  void advance() { at_ = std::min(at_ + 1, tokens_.size() - 1); }
  bool failed() const { return error_.has_value(); }
  void fail(Error error);
  void fail_at(const JinjaToken& token, const std::string& message);
  static bool is_op(const JinjaToken& token, std::string_view op);
  static bool is_name(const JinjaToken& token, std::string_view name);
  bool skip_op(std::string_view op);
  bool skip_name(std::string_view name);
  void expect_op(std::string_view op);
  void expect_name(std::string_view name);
  std::string expect_identifier();
  static std::string describe(const JinjaToken& token);
  uint32_t line_of(const JinjaToken& token) const;
  int symbol(const std::string& name);
  JinjaExpr* make(JinjaExpr::Kind kind, const JinjaToken& at);
  bool deeper();  ///< pair with --depth_ whatever it returns

  // expressions.cpp, from the loosest binding to the tightest
  Expr expression(bool with_conditional = true);
  Expr conditional();
  Expr logical_or();
  Expr logical_and();
  Expr logical_not();
  Expr compare();
  Expr sum();
  Expr concat();
  Expr product();
  Expr power();
  Expr unary(bool with_filters = true);
  Expr primary(bool with_namespace = false);
  Expr postfix(Expr expr);
  Expr filters_and_tests(Expr expr);
  Expr filter(Expr input);
  Expr test(Expr input);
  Expr call(Expr callee);
  Expr subscript(Expr object);
  Expr subscript_part(Expr object, const JinjaToken& open);
  Expr list();
  Expr dict();
  enum class TupleEnd : uint8_t { plain, at_in, at_recursive, at_paren };
  Expr tuple(bool with_conditional, TupleEnd end = TupleEnd::plain);
  Expr assign_target(bool with_namespace, TupleEnd end);
  Expr literal(const JinjaToken& token, JinjaValue value);
  void arguments(JinjaExpr& call);
  void check_target(Expr target, const JinjaToken& at);
  bool tuple_ends(TupleEnd end) const;
  template <typename Next>
  Expr binary(JinjaExpr::Kind kind, std::initializer_list<std::string_view> ops, Next next);

  // statements.cpp
  using Names = std::initializer_list<std::string_view>;
  JinjaBlock block(Names ends);
  JinjaBlock body(Names ends);
  void statement(JinjaBlock& out);
  void parse_if(JinjaBlock& out);
  void parse_for(JinjaBlock& out);
  void parse_set(JinjaBlock& out);
  void parse_macro(JinjaBlock& out);
  void parse_call(JinjaBlock& out);
  void parse_with(JinjaBlock& out);
  void parse_print(JinjaBlock& out);
  void parse_loop_control(JinjaBlock& out);
  void signature(JinjaSignature& into);
  JinjaBlock macro_body(JinjaSignature& into, std::string_view end);
  void unknown_tag(const JinjaToken& token);
  std::string expected_tags() const;
  JinjaStatement& add(JinjaBlock& out, JinjaStatement::Kind kind, const JinjaToken& at);

  std::string_view source_;
  std::vector<JinjaToken> tokens_;
  size_t at_ = 0;
  JinjaProgram program_;
  std::unordered_map<std::string, int> symbol_ids_;
  std::optional<Error> error_;
  int depth_ = 0;
  int loops_ = 0;     ///< loops around the current statement, inside the current macro
  int branches_ = 0;  ///< ifs around it: an unknown filter in there fails only when reached
  std::vector<Names> open_ends_;
  std::vector<std::string> open_tags_;
  bool reads_varargs_ = false, reads_kwargs_ = false, reads_caller_ = false;
  std::vector<size_t> line_starts_;  ///< byte offset of each line but the first
};

}  // namespace sqf

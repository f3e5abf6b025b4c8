// Expressions of the template grammar.

#include <algorithm>

#include "model/jinja/parser.hpp"

namespace sqf {

using Kind = JinjaExpr::Kind;

namespace {

JinjaValue text_value(std::string text) {
  JinjaValue value;
  value.kind = JinjaValue::Kind::text;
  value.text = std::make_shared<const JinjaText>(std::move(text));
  return value;
}

}  // namespace

const JinjaExpr* JinjaParser::literal(const JinjaToken& token, JinjaValue value) {
  JinjaExpr* expr = make(Kind::literal, token);
  expr->literal = std::move(value);
  return expr;
}

const JinjaExpr* JinjaParser::expression(bool with_conditional) {
  const JinjaToken& start = current();
  const bool fits = deeper();
  Expr result = !fits              ? make(Kind::literal, start)
                : with_conditional ? conditional()
                                   : logical_or();
  --depth_;
  return result;
}

const JinjaExpr* JinjaParser::conditional() {
  const JinjaToken& start = current();
  Expr result = logical_or();
  while (skip_name("if")) {
    JinjaExpr* node = make(Kind::conditional, start);
    ++branches_;
    Expr condition = logical_or();
    Expr otherwise = skip_name("else") ? expression() : nullptr;
    --branches_;
    node->children = {condition, result, otherwise};
    result = node;
  }
  return result;
}

/// A chain of operators of one strength as one node, so that long sums stay shallow.
template <typename Next>
const JinjaExpr* JinjaParser::binary(Kind kind, std::initializer_list<std::string_view> ops,
                                     Next next) {
  const JinjaToken& start = current();
  Expr first = next();
  JinjaExpr* node = nullptr;
  while (!failed()) {
    const JinjaToken& token = current();
    const bool word = token.kind == TokenKind::name;
    if ((!word && token.kind != TokenKind::op) ||
        std::find(ops.begin(), ops.end(), token.text) == ops.end())
      break;
    if (!node) {
      node = make(kind, start);
      node->children.push_back(first);
    }
    node->ops.push_back(token.text);
    advance();
    node->children.push_back(next());
  }
  return node ? node : first;
}

const JinjaExpr* JinjaParser::logical_or() {
  return binary(Kind::logical_or, {"or"}, [this] { return logical_and(); });
}

const JinjaExpr* JinjaParser::logical_and() {
  return binary(Kind::logical_and, {"and"}, [this] { return logical_not(); });
}

const JinjaExpr* JinjaParser::logical_not() {
  const JinjaToken& start = current();
  if (!skip_name("not")) return compare();
  JinjaExpr* node = make(Kind::logical_not, start);
  if (deeper()) node->children = {logical_not()};
  --depth_;
  return node;
}

const JinjaExpr* JinjaParser::compare() {
  static constexpr std::string_view kOps[] = {"==", "!=", ">", ">=", "<", "<="};
  const JinjaToken& start = current();
  Expr first = sum();
  JinjaExpr* node = nullptr;
  while (!failed()) {
    std::string op;
    if (current().kind == TokenKind::op &&
        std::find(std::begin(kOps), std::end(kOps), current().text) != std::end(kOps))
      op = current().text;
    else if (is_name(current(), "in"))
      op = "in";
    else if (is_name(current(), "not") && is_name(ahead(), "in"))
      op = "not in";
    else
      break;
    advance();
    if (op == "not in") advance();
    if (!node) {
      node = make(Kind::compare, start);
      node->children.push_back(first);
    }
    node->ops.push_back(op);
    node->children.push_back(sum());
  }
  return node ? node : first;
}

const JinjaExpr* JinjaParser::sum() {
  return binary(Kind::arithmetic, {"+", "-"}, [this] { return concat(); });
}

const JinjaExpr* JinjaParser::concat() {
  return binary(Kind::concat, {"~"}, [this] { return product(); });
}

const JinjaExpr* JinjaParser::product() {
  return binary(Kind::arithmetic, {"*", "/", "//", "%"}, [this] { return power(); });
}

const JinjaExpr* JinjaParser::power() {
  return binary(Kind::arithmetic, {"**"}, [this] { return unary(); });
}

const JinjaExpr* JinjaParser::unary(bool with_filters) {
  const JinjaToken& start = current();
  Expr result = nullptr;
  if (is_op(start, "-") || is_op(start, "+")) {
    JinjaExpr* node = make(is_op(start, "-") ? Kind::negate : Kind::positive, start);
    advance();
    if (deeper()) node->children = {unary(false)};
    --depth_;
    result = node;
  } else {
    result = primary();
  }
  result = postfix(result);
  return with_filters ? filters_and_tests(result) : result;
}

const JinjaExpr* JinjaParser::primary(bool with_namespace) {
  const JinjaToken& token = current();
  switch (token.kind) {
    case TokenKind::name: {
      advance();
      if (token.text == "true" || token.text == "True")
        return literal(token, JinjaValue::of_bool(true));
      if (token.text == "false" || token.text == "False")
        return literal(token, JinjaValue::of_bool(false));
      if (token.text == "none" || token.text == "None")
        return literal(token, JinjaValue::of_none());
      JinjaExpr* name = make(Kind::name, token);
      name->name = token.text;
      name->symbol = symbol(token.text);
      reads_varargs_ |= name->symbol == program_.varargs_symbol;
      reads_kwargs_ |= name->symbol == program_.kwargs_symbol;
      reads_caller_ |= name->symbol == program_.caller_symbol;
      if (!with_namespace || !is_op(current(), ".")) return name;
      advance();
      JinjaExpr* field = make(Kind::attribute, token);
      field->name = expect_identifier();
      field->children = {name};
      return field;
    }
    case TokenKind::string: {
      std::string text;
      for (; current().kind == TokenKind::string; advance()) text += current().text;
      return literal(token, text_value(std::move(text)));
    }
    case TokenKind::integer:
      advance();
      return literal(token, JinjaValue::of_integer(token.integer));
    case TokenKind::floating:
      advance();
      return literal(token, JinjaValue::of_floating(token.floating));
    case TokenKind::op:
      if (token.text == "[") return list();
      if (token.text == "{") return dict();
      if (token.text == "(") {
        advance();
        Expr inner = tuple(true, TupleEnd::at_paren);
        expect_op(")");
        return inner;
      }
      break;
    default:
      break;
  }
  fail_at(token, "unexpected '" + describe(token) + "'");
  return make(Kind::literal, token);
}

bool JinjaParser::tuple_ends(TupleEnd end) const {
  const JinjaToken& token = current();
  if (token.kind == TokenKind::print_end || token.kind == TokenKind::block_end ||
      is_op(token, ")") || failed())
    return true;
  return (end == TupleEnd::at_in && is_name(token, "in")) ||
         (end == TupleEnd::at_recursive && is_name(token, "recursive"));
}

/// Expressions with commas between them, or the one expression that is not followed by a comma.
const JinjaExpr* JinjaParser::tuple(bool with_conditional, TupleEnd end) {
  const JinjaToken& start = current();
  std::vector<Expr> items;
  bool is_tuple = false;
  while (!tuple_ends(end)) {
    items.push_back(expression(with_conditional));
    if (!skip_op(",")) break;
    is_tuple = true;
  }
  if (!is_tuple && !items.empty()) return items[0];
  if (!is_tuple && end != TupleEnd::at_paren)
    fail_at(current(), "Expected an expression, got '" + describe(current()) + "'");
  JinjaExpr* node = make(Kind::tuple, start);
  node->children = std::move(items);
  return node;
}

const JinjaExpr* JinjaParser::assign_target(bool with_namespace, TupleEnd end) {
  const JinjaToken& start = current();
  std::vector<Expr> items;
  bool is_tuple = false;
  while (!tuple_ends(end)) {
    items.push_back(primary(with_namespace));
    if (!skip_op(",")) break;
    is_tuple = true;
  }
  if (items.empty())
    fail_at(current(), "Expected an expression, got '" + describe(current()) + "'");
  if (failed()) return make(Kind::literal, start);
  Expr result = items[0];
  if (is_tuple) {
    JinjaExpr* node = make(Kind::tuple, start);
    node->children = std::move(items);
    result = node;
  }
  check_target(result, start);
  return result;
}

void JinjaParser::check_target(Expr target, const JinjaToken& at) {
  if (target->kind == Kind::name || target->kind == Kind::attribute) return;
  if (target->kind != Kind::tuple) return fail_at(at, "can't assign to this");
  for (Expr item : target->children) check_target(item, at);
}

const JinjaExpr* JinjaParser::list() {
  JinjaExpr* node = make(Kind::list, current());
  expect_op("[");
  while (!is_op(current(), "]") && !failed()) {
    node->children.push_back(expression());
    if (!is_op(current(), "]")) expect_op(",");
  }
  expect_op("]");
  return node;
}

const JinjaExpr* JinjaParser::dict() {
  JinjaExpr* node = make(Kind::dict, current());
  expect_op("{");
  while (!is_op(current(), "}") && !failed()) {
    node->children.push_back(expression());
    expect_op(":");
    node->children.push_back(expression());
    if (!is_op(current(), "}")) expect_op(",");
  }
  expect_op("}");
  return node;
}

}  // namespace sqf

// What follows an operand: attributes, subscripts, calls, filters and tests.

#include "model/jinja/parser.hpp"

namespace sqf {

using Kind = JinjaExpr::Kind;

namespace {

constexpr size_t kMaxNamedArguments = 255;

bool starts_test_argument(const JinjaToken& token) {
  using TokenKind = JinjaToken::Kind;
  switch (token.kind) {
    case TokenKind::string:
    case TokenKind::integer:
    case TokenKind::floating:
      return true;
    case TokenKind::op:
      return token.text == "[" || token.text == "{";
    case TokenKind::name:
      return token.text != "else" && token.text != "or" && token.text != "and";
    default:
      return false;
  }
}

}  // namespace

const JinjaExpr* JinjaParser::postfix(Expr expr) {
  while (!failed()) {
    if (is_op(current(), ".") || is_op(current(), "["))
      expr = subscript(expr);
    else if (is_op(current(), "("))
      expr = call(expr);
    else
      break;
  }
  return expr;
}

const JinjaExpr* JinjaParser::subscript(Expr object) {
  const JinjaToken& open = current();
  advance();
  if (open.text == "[") return subscript_part(object, open);
  const JinjaToken& name = current();
  advance();
  if (name.kind == TokenKind::name) {
    JinjaExpr* node = make(Kind::attribute, name);
    node->name = name.text;
    node->children = {object};
    return node;
  }
  if (name.kind != TokenKind::integer) fail_at(name, "expected name or number");
  JinjaExpr* node = make(Kind::item, name);
  node->children = {object, literal(name, JinjaValue::of_integer(name.integer))};
  return node;
}

/// What stands between [ and ]: a key, or bounds with colons between them.
const JinjaExpr* JinjaParser::subscript_part(Expr object, const JinjaToken& open) {
  Expr bounds[3] = {nullptr, nullptr, nullptr};
  size_t at = 0;
  bool is_slice = false;
  if (is_op(current(), "]")) fail_at(open, "expected subscript expression");
  while (!is_op(current(), "]") && !failed()) {
    if (skip_op(":")) {
      is_slice = true;
      if (++at == 3) fail_at(current(), "a slice has at most three parts");
    } else if (bounds[at]) {
      if (is_op(current(), ","))
        fail(unsupported(jinja_where(source_, open.offset) +
                         "a subscript with commas is not supported"));
      expect_op("]");
    } else {
      bounds[at] = expression();
    }
  }
  expect_op("]");
  JinjaExpr* node = make(is_slice ? Kind::slice : Kind::item, open);
  node->children = {object, bounds[0]};
  if (is_slice) node->children.insert(node->children.end(), {bounds[1], bounds[2]});
  return node;
}

void JinjaParser::arguments(JinjaExpr& call) {
  const JinjaToken& open = current();
  expect_op("(");
  while (!is_op(current(), ")") && !failed()) {
    const bool keyword = current().kind == TokenKind::name && is_op(ahead(), "=");
    bool in_order = !call.double_star;
    if (skip_op("**")) {
      call.double_star = expression();
    } else if (is_op(current(), "*")) {
      in_order = in_order && !call.star;
      advance();
      call.star = expression();
    } else if (keyword) {
      const std::string name = expect_identifier();
      advance();
      if (call.named.size() == kMaxNamedArguments) fail_at(open, "too many arguments");
      for (const auto& [other, _] : call.named)
        if (other == name) fail_at(open, "keyword argument repeated: " + name);
      call.named.emplace_back(name, expression());
    } else {
      in_order = in_order && !call.star && call.named.empty();
      call.children.push_back(expression());
    }
    if (!in_order) fail_at(open, "invalid syntax for function call expression");
    if (!is_op(current(), ")")) expect_op(",");
  }
  expect_op(")");
}

const JinjaExpr* JinjaParser::call(Expr callee) {
  JinjaExpr* node = make(Kind::call, current());
  node->children = {callee};
  arguments(*node);
  return node;
}

const JinjaExpr* JinjaParser::filters_and_tests(Expr expr) {
  while (!failed()) {
    if (skip_op("|"))
      expr = filter(expr);
    else if (skip_name("is"))
      expr = test(expr);
    else if (is_op(current(), "("))
      expr = call(expr);
    else
      break;
  }
  return expr;
}

const JinjaExpr* JinjaParser::filter(Expr input) {
  const JinjaToken& token = current();
  JinjaExpr* node = make(Kind::filter, token);
  node->name = expect_identifier();
  while (skip_op(".")) node->name.append(1, '.').append(expect_identifier());
  node->children = {input};
  if (is_op(current(), "(")) arguments(*node);
  node->builtin = jinja_find_filter(node->name);
  if (!node->builtin && branches_ == 0 && !failed()) {
    if (jinja_is_known_filter(node->name))
      fail(unsupported(jinja_where(source_, token.offset) + "the filter '" + node->name +
                       "' is not supported"));
    else
      fail_at(token, "No filter named '" + node->name + "'.");
  }
  return node;
}

const JinjaExpr* JinjaParser::test(Expr input) {
  const JinjaToken& start = current();
  const bool negated = skip_name("not");
  const JinjaToken& token = current();
  JinjaExpr* node = make(Kind::test, token);
  node->name = expect_identifier();
  while (skip_op(".")) node->name.append(1, '.').append(expect_identifier());
  node->children = {input};
  if (is_op(current(), "(")) {
    arguments(*node);
  } else if (starts_test_argument(current())) {
    if (is_name(current(), "is")) fail_at(current(), "You cannot chain multiple tests with is");
    node->children.push_back(postfix(primary()));
  }
  node->builtin = jinja_find_test(node->name);
  if (!node->builtin && branches_ == 0) fail_at(token, "No test named '" + node->name + "'.");
  if (!negated) return node;
  JinjaExpr* inverted = make(Kind::logical_not, start);
  inverted->children = {node};
  return inverted;
}

}  // namespace sqf

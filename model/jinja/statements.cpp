// Statements of the template grammar.

#include <algorithm>

#include "model/jinja/parser.hpp"

namespace sqf {

using Kind = JinjaStatement::Kind;

namespace {

bool is_left_out(std::string_view tag) {
  constexpr std::string_view kTags[] = {"autoescape", "block",  "extends",
                                        "from",       "import", "include"};
  return std::find(std::begin(kTags), std::end(kTags), tag) != std::end(kTags);
}

}  // namespace

JinjaStatement& JinjaParser::add(JinjaBlock& out, Kind kind, const JinjaToken& at) {
  JinjaStatement& statement = out.emplace_back();
  statement.kind = kind;
  statement.line = line_of(at);
  return statement;
}

/// Text and statements up to a tag named in `ends` (left as the current token), or to the end of
/// the template if `ends` is empty.
JinjaBlock JinjaParser::block(Names ends) {
  JinjaBlock out;
  open_ends_.push_back(ends);
  const bool fits = deeper();
  while (fits && current().kind != TokenKind::end) {
    const JinjaToken& token = current();
    advance();
    if (token.kind == TokenKind::data) {
      add(out, Kind::text, token).text = std::make_shared<const JinjaText>(token.text);
    } else if (token.kind == TokenKind::print_begin) {
      JinjaStatement& print = add(out, Kind::print, token);
      print.exprs = {tuple(true)};
      if (current().kind != TokenKind::print_end)
        fail_at(current(),
                "expected token 'end of print statement', got '" + describe(current()) + "'");
      advance();
    } else {
      const bool ends_here = current().kind == TokenKind::name &&
                             std::find(ends.begin(), ends.end(), current().text) != ends.end();
      if (ends_here) break;
      statement(out);
      if (current().kind != TokenKind::block_end)
        fail_at(current(),
                "expected token 'end of statement block', got '" + describe(current()) + "'");
      advance();
    }
  }
  if (current().kind == TokenKind::end && ends.size() > 0)
    fail_at(current(), "Unexpected end of template. " + expected_tags());
  --depth_;
  open_ends_.pop_back();
  return out;
}

/// The rest of an opening tag, then its block.
JinjaBlock JinjaParser::body(Names ends) {
  skip_op(":");
  if (current().kind != TokenKind::block_end) {
    fail_at(current(),
            "expected token 'end of statement block', got '" + describe(current()) + "'");
    return {};
  }
  advance();
  return block(ends);
}

std::string JinjaParser::expected_tags() const {
  std::string text;
  const Names& ends = open_ends_.back();
  for (const std::string_view name : ends) {
    text += text.empty() ? "Jinja was looking for the following tags: '" : " or '";
    text += std::string(name) + "'";
  }
  if (!text.empty()) text += ".";
  if (!open_tags_.empty())
    text += " The innermost block that needs to be closed is '" + open_tags_.back() + "'.";
  return text;
}

void JinjaParser::unknown_tag(const JinjaToken& token) {
  if (is_left_out(token.text))
    return fail(unsupported(jinja_where(source_, token.offset) + "the tag '" + token.text +
                            "' is not supported"));
  fail_at(token, "Encountered unknown tag '" + token.text + "'. " + expected_tags());
}

void JinjaParser::statement(JinjaBlock& out) {
  const JinjaToken& token = current();
  if (token.kind != TokenKind::name) return fail_at(token, "tag name expected");
  const std::string& name = token.text;
  using Parse = void (JinjaParser::*)(JinjaBlock&);
  static constexpr std::pair<std::string_view, Parse> kTags[] = {
      {"if", &JinjaParser::parse_if},
      {"for", &JinjaParser::parse_for},
      {"set", &JinjaParser::parse_set},
      {"macro", &JinjaParser::parse_macro},
      {"call", &JinjaParser::parse_call},
      {"with", &JinjaParser::parse_with},
      {"print", &JinjaParser::parse_print},
      {"break", &JinjaParser::parse_loop_control},
      {"continue", &JinjaParser::parse_loop_control},
  };
  for (const auto& [tag, parse] : kTags) {
    if (tag != name) continue;
    open_tags_.push_back(name);
    (this->*parse)(out);
    open_tags_.pop_back();
    return;
  }
  if (name != "filter" && name != "generation") return unknown_tag(token);
  open_tags_.push_back(name);
  advance();
  JinjaStatement node;
  node.kind = name == "filter" ? Kind::filter_block : Kind::scope;
  node.line = line_of(token);
  if (node.kind == Kind::filter_block) {
    Expr chain = filter(nullptr);
    while (skip_op("|")) chain = filter(chain);
    node.exprs = {chain};
    node.bodies.push_back(body({"endfilter"}));
  } else {
    const int loops = std::exchange(loops_, 0);
    node.bodies.push_back(body({"endgeneration"}));
    loops_ = loops;
  }
  advance();
  open_tags_.pop_back();
  out.push_back(std::move(node));
}

void JinjaParser::parse_if(JinjaBlock& out) {
  JinjaStatement node;
  node.kind = Kind::branch;
  node.line = line_of(current());
  ++branches_;
  bool more = true;
  while (more && !failed()) {
    advance();  // if, elif
    node.exprs.push_back(tuple(false));
    node.bodies.push_back(body({"elif", "else", "endif"}));
    more = is_name(current(), "elif");
  }
  if (is_name(current(), "else")) {
    advance();
    node.bodies.push_back(body({"endif"}));
  }
  --branches_;
  advance();
  out.push_back(std::move(node));
}

void JinjaParser::parse_for(JinjaBlock& out) {
  JinjaStatement node;
  node.kind = Kind::loop;
  node.line = line_of(current());
  advance();
  Expr target = assign_target(false, TupleEnd::at_in);
  expect_name("in");
  Expr iterable = tuple(false, TupleEnd::at_recursive);
  Expr condition = skip_name("if") ? expression() : nullptr;
  node.recursive = skip_name("recursive");
  node.exprs = {target, iterable, condition};
  ++loops_;
  node.bodies.push_back(body({"endfor", "else"}));
  --loops_;
  if (is_name(current(), "else")) {
    advance();
    node.bodies.push_back(body({"endfor"}));
  }
  advance();
  out.push_back(std::move(node));
}

void JinjaParser::parse_set(JinjaBlock& out) {
  JinjaStatement node;
  node.line = line_of(current());
  advance();
  Expr target = assign_target(true, TupleEnd::plain);
  if (skip_op("=")) {
    node.kind = Kind::set;
    node.exprs = {target, tuple(true)};
  } else {
    node.kind = Kind::set_block;
    Expr chain = nullptr;
    while (skip_op("|")) chain = filter(chain);
    node.exprs = {target, chain};
    node.bodies.push_back(body({"endset"}));
    advance();
  }
  out.push_back(std::move(node));
}

void JinjaParser::signature(JinjaSignature& into) {
  expect_op("(");
  while (!is_op(current(), ")") && !failed()) {
    into.names.push_back(expect_identifier());
    into.symbols.push_back(symbol(into.names.back()));
    if (skip_op("="))
      into.defaults.push_back(expression());
    else if (!into.defaults.empty())
      fail_at(current(), "non-default argument follows default argument");
    if (!is_op(current(), ")")) expect_op(",");
  }
  expect_op(")");
}

/// The body of a macro or call block, noting which of its special variables it reads.
JinjaBlock JinjaParser::macro_body(JinjaSignature& into, std::string_view end) {
  const bool varargs = std::exchange(reads_varargs_, false);
  const bool kwargs = std::exchange(reads_kwargs_, false);
  const bool caller = std::exchange(reads_caller_, false);
  const int loops = std::exchange(loops_, 0);
  JinjaBlock result = end == "endmacro" ? body({"endmacro"}) : body({"endcall"});
  loops_ = loops;
  into.takes_varargs = reads_varargs_;
  into.takes_kwargs = reads_kwargs_;
  into.takes_caller = reads_caller_;
  reads_varargs_ |= varargs;
  reads_kwargs_ |= kwargs;
  reads_caller_ |= caller;
  return result;
}

void JinjaParser::parse_macro(JinjaBlock& out) {
  JinjaStatement node;
  node.kind = Kind::macro;
  node.line = line_of(current());
  advance();
  node.name = expect_identifier();
  node.symbol = symbol(node.name);
  signature(node.signature);
  node.bodies.push_back(macro_body(node.signature, "endmacro"));
  advance();
  out.push_back(std::move(node));
}

void JinjaParser::parse_call(JinjaBlock& out) {
  JinjaStatement node;
  node.kind = Kind::call;
  node.name = "caller";
  const JinjaToken& token = current();
  node.line = line_of(token);
  advance();
  if (is_op(current(), "(")) signature(node.signature);
  Expr called = expression();
  if (called->kind != JinjaExpr::Kind::call) fail_at(token, "expected call");
  node.exprs = {called};
  node.bodies.push_back(macro_body(node.signature, "endcall"));
  advance();
  out.push_back(std::move(node));
}

void JinjaParser::parse_with(JinjaBlock& out) {
  JinjaStatement node;
  node.kind = Kind::with;
  node.line = line_of(current());
  advance();
  while (current().kind != TokenKind::block_end && !failed()) {
    if (!node.exprs.empty()) expect_op(",");
    const JinjaToken& token = current();
    node.exprs.push_back(primary());
    check_target(node.exprs.back(), token);
    expect_op("=");
    node.exprs.push_back(expression());
  }
  node.bodies.push_back(body({"endwith"}));
  advance();
  out.push_back(std::move(node));
}

void JinjaParser::parse_print(JinjaBlock& out) {
  JinjaStatement& node = add(out, Kind::print, current());
  advance();
  while (current().kind != TokenKind::block_end && !failed()) {
    if (!node.exprs.empty()) expect_op(",");
    node.exprs.push_back(expression());
  }
}

void JinjaParser::parse_loop_control(JinjaBlock& out) {
  const JinjaToken& token = current();
  if (loops_ == 0) fail_at(token, "'" + token.text + "' outside loop");
  add(out, token.text == "break" ? Kind::loop_break : Kind::loop_continue, token);
  advance();
}

}  // namespace sqf

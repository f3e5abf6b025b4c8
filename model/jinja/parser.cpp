#include "model/jinja/parser.hpp"

#include <algorithm>

#include "format/text.hpp"

namespace sqf {
namespace {

constexpr size_t kMaxSourceBytes = size_t{1} << 20;
constexpr size_t kMaxExpressions = 200'000;  // about 40 MiB of tree
constexpr int kMaxNesting = 100;

}  // namespace

Result<JinjaProgram> jinja_parse(std::string_view source) {
  if (source.size() > kMaxSourceBytes)
    return malformed("chat template: " + std::to_string(source.size()) + " bytes, at most " +
                     std::to_string(kMaxSourceBytes) + " are allowed");
  if (!is_utf8(source)) return malformed("chat template: not valid UTF-8");
  const std::string normalized = jinja_normalize_source(source);
  Result<std::vector<JinjaToken>> tokens = jinja_tokenize(normalized);
  if (!tokens) return tokens.error();
  return JinjaParser(normalized, std::move(*tokens)).run();
}

JinjaParser::JinjaParser(std::string_view source, std::vector<JinjaToken> tokens)
    : source_(source), tokens_(std::move(tokens)) {
  for (const char* name : {"loop", "varargs", "kwargs", "caller"}) symbol(name);
  for (size_t i = 0; i < source.size(); ++i)
    if (source[i] == '\n') line_starts_.push_back(i + 1);
}

Result<JinjaProgram> JinjaParser::run() {
  program_.body = block({});
  if (error_) return *error_;
  return std::move(program_);
}

void JinjaParser::fail(Error error) {
  if (!error_) error_ = std::move(error);
  at_ = tokens_.size() - 1;
}

void JinjaParser::fail_at(const JinjaToken& token, const std::string& message) {
  if (!error_) fail(malformed(jinja_where(source_, token.offset) + message));
}

bool JinjaParser::is_op(const JinjaToken& token, std::string_view op) {
  return token.kind == TokenKind::op && token.text == op;
}

bool JinjaParser::is_name(const JinjaToken& token, std::string_view name) {
  return token.kind == TokenKind::name && token.text == name;
}

bool JinjaParser::skip_op(std::string_view op) {
  if (!is_op(current(), op)) return false;
  advance();
  return true;
}

bool JinjaParser::skip_name(std::string_view name) {
  if (!is_name(current(), name)) return false;
  advance();
  return true;
}

std::string JinjaParser::describe(const JinjaToken& token) {
  switch (token.kind) {
    case TokenKind::block_end:
      return "end of statement block";
    case TokenKind::print_end:
      return "end of print statement";
    case TokenKind::string:
      return "string";
    case TokenKind::integer:
      return "integer";
    case TokenKind::floating:
      return "float";
    case TokenKind::end:
      return "end of template";
    default:
      return token.text;
  }
}

void JinjaParser::expect_op(std::string_view op) {
  if (!skip_op(op))
    fail_at(current(),
            "expected token '" + std::string(op) + "', got '" + describe(current()) + "'");
}

void JinjaParser::expect_name(std::string_view name) {
  if (!skip_name(name))
    fail_at(current(),
            "expected token '" + std::string(name) + "', got '" + describe(current()) + "'");
}

std::string JinjaParser::expect_identifier() {
  if (current().kind != TokenKind::name) {
    fail_at(current(), "expected token 'name', got '" + describe(current()) + "'");
    return "?";
  }
  std::string name = current().text;
  advance();
  return name;
}

uint32_t JinjaParser::line_of(const JinjaToken& token) const {
  const auto next = std::upper_bound(line_starts_.begin(), line_starts_.end(), token.offset);
  return static_cast<uint32_t>(next - line_starts_.begin()) + 1;
}

int JinjaParser::symbol(const std::string& name) {
  const auto [entry, added] =
      symbol_ids_.try_emplace(name, static_cast<int>(program_.symbols.size()));
  if (added) program_.symbols.push_back(name);
  return entry->second;
}

JinjaExpr* JinjaParser::make(JinjaExpr::Kind kind, const JinjaToken& at) {
  if (program_.exprs.size() >= kMaxExpressions) fail_at(at, "too many expressions");
  JinjaExpr& expr = program_.exprs.emplace_back();
  expr.kind = kind;
  expr.line = line_of(at);
  return &expr;
}

bool JinjaParser::deeper() {
  if (++depth_ > kMaxNesting) fail_at(current(), "nested too deeply");
  return !failed();
}

}  // namespace sqf

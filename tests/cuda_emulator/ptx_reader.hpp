#pragma once

// The cursor that both parts of the PTX parser share. The first mistake is kept; after it every
// token is the end.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/cuda_emulator/ptx_lexer.hpp"
#include "tests/cuda_emulator/ptx_syntax.hpp"

namespace sqf {

class PtxReader {
 public:
  explicit PtxReader(std::string_view source) : tokens_(lex_ptx(source)) {}

  const Token& peek(size_t ahead = 0) const {
    return tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
  }
  const Token& next();
  bool at_end() const { return peek().kind == Token::Kind::end; }
  bool is(std::string_view text) const { return peek().text == text && !at_end(); }
  bool take(std::string_view text);
  void expect(std::string_view text);
  std::string_view word();  // fails on anything else
  int64_t integer();        // with its sign
  void skip_braces();       // a whole { ... }
  void fail(std::string_view message);
  bool failed() const { return !error_.empty(); }
  const std::string& error() const { return error_; }

 private:
  std::vector<Token> tokens_;
  size_t at_ = 0;
  std::string error_;
};

std::optional<int64_t> ptx_integer(std::string_view text);
/// [.align n] .type name[n]..., which both modules and functions declare.
PtxVariable read_variable(PtxReader& in, Space space);
void read_initial(PtxReader& in, PtxVariable& variable);
void read_body(PtxReader& in, PtxFunction& function);

}  // namespace sqf

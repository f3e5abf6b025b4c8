#include "tests/cuda_emulator/ptx_lexer.hpp"

namespace sqf {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool starts_word(char c) {
  return is_letter(c) || c == '_' || c == '$' || c == '%' || c == '.';
}
bool continues_word(char c) {
  return starts_word(c) || is_digit(c);
}

struct Lexer {
  std::string_view source;
  size_t at = 0;
  int line = 1;
  std::vector<Token> tokens{};

  char peek(size_t ahead = 0) const {
    return at + ahead < source.size() ? source[at + ahead] : '\0';
  }

  void to_line_end() {
    while (at < source.size() && source[at] != '\n') at++;
  }

  bool skip_blank() {
    if (peek() == '/' && peek(1) == '/') {
      to_line_end();
      return true;
    }
    if (peek() == '/' && peek(1) == '*') {
      at += 2;
      while (at < source.size() && !(peek() == '*' && peek(1) == '/')) {
        if (source[at] == '\n') line++;
        at++;
      }
      at = at + 2 < source.size() ? at + 2 : source.size();
      return true;
    }
    const char c = peek();
    if (c != ' ' && c != '\t' && c != '\r' && c != '\n' && c != '\0') return false;
    if (c == '\n') line++;
    at++;
    return true;
  }

  void add(Token::Kind kind, size_t begin) {
    tokens.push_back({kind, source.substr(begin, at - begin), line});
  }

  void word() {
    const size_t begin = at;
    const bool directive = peek() == '.';  // ".reg.b32" is two
    if (directive) at++;
    while ((continues_word(peek()) && !(directive && peek() == '.')) ||
           (peek() == ':' && peek(1) == ':')) {
      at += peek() == ':' ? 2 : 1;
    }
    const std::string_view text = source.substr(begin, at - begin);
    if (text == ".loc" || text == ".file") {
      to_line_end();
    } else {
      add(Token::Kind::word, begin);
    }
  }

  void number() {
    const size_t begin = at;
    const bool prefixed = peek() == '0' && is_letter(peek(1));  // 0x, 0f, 0d, 0b
    while (is_digit(peek()) || is_letter(peek()) || peek() == '.' ||
           (!prefixed && (peek() == '-' || peek() == '+') && (source[at - 1] | 32) == 'e')) {
      at++;
    }
    add(Token::Kind::number, begin);
  }

  void quoted() {
    const size_t begin = at++;
    while (at < source.size() && source[at] != '"' && source[at] != '\n') at++;
    if (peek() == '"') at++;
    add(Token::Kind::text, begin);
  }

  void run() {
    while (at < source.size()) {
      if (skip_blank()) continue;
      if (is_digit(peek())) {
        number();
      } else if (starts_word(peek())) {
        word();
      } else if (peek() == '"') {
        quoted();
      } else {
        at++;
        add(Token::Kind::mark, at - 1);
      }
    }
    add(Token::Kind::end, at);
  }
};

}  // namespace

std::vector<Token> lex_ptx(std::string_view source) {
  Lexer lexer{.source = source};
  lexer.run();
  return std::move(lexer.tokens);
}

}  // namespace sqf

#include <algorithm>
#include <cstring>

#include "tests/cuda_emulator/number.hpp"
#include "tests/cuda_emulator/ptx_reader.hpp"

namespace sqf {

const Token& PtxReader::next() {
  const Token& token = peek();
  if (at_ + 1 < tokens_.size()) at_++;
  return token;
}

bool PtxReader::take(std::string_view text) {
  if (!is(text)) return false;
  next();
  return true;
}

void PtxReader::expect(std::string_view text) {
  if (!take(text)) fail("expected '" + std::string(text) + "'");
}

std::string_view PtxReader::word() {
  if (peek().kind != Token::Kind::word) {
    fail("expected a name");
    return {};
  }
  return next().text;
}

int64_t PtxReader::integer() {
  const bool negative = take("-");
  const std::optional<int64_t> value = ptx_integer(peek().text);
  if (!value) {
    fail("expected an integer");
    return 0;
  }
  next();
  return negative ? static_cast<int64_t>(0 - static_cast<uint64_t>(*value)) : *value;
}

void PtxReader::skip_braces() {
  expect("{");
  for (int depth = 1; depth > 0 && !at_end();) {
    const std::string_view text = next().text;
    depth += text == "{" ? 1 : text == "}" ? -1 : 0;
  }
}

void PtxReader::fail(std::string_view message) {
  if (!failed()) {
    error_ = "PTX line " + std::to_string(peek().line) + ": " + std::string(message) + " at '" +
             std::string(peek().text) + "'";
  }
  at_ = tokens_.size() - 1;
}

std::optional<int64_t> ptx_integer(std::string_view text) {
  if (!text.empty() && (text.back() == 'U' || text.back() == 'u')) text.remove_suffix(1);
  int base = 10;
  if (text.size() > 2 && text[0] == '0' && (text[1] | 32) == 'x') base = 16;
  if (text.size() > 2 && text[0] == '0' && (text[1] | 32) == 'b') base = 2;
  if (base != 10) {
    text.remove_prefix(2);
  } else if (text.size() > 1 && text[0] == '0') {
    base = 8;
  }
  if (text.empty() || text.size() > 64) return std::nullopt;
  uint64_t value = 0;
  for (const char c : text) {
    const int digit = c >= '0' && c <= '9'                 ? c - '0'
                      : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                           : 99;
    if (digit >= base) return std::nullopt;
    value = value * static_cast<uint64_t>(base) + static_cast<uint64_t>(digit);
  }
  return static_cast<int64_t>(value);
}

PtxVariable read_variable(PtxReader& in, Space space) {
  PtxVariable variable;
  variable.space = space;
  int64_t count = 1;
  while (!in.failed()) {
    const std::string_view word = in.word();
    if (word == ".align") {
      variable.align = in.integer();
    } else if (word == ".ptr" || word == ".global" || word == ".shared" || word == ".const") {
      continue;  // what a pointer parameter points to
    } else if (word == ".v2" || word == ".v4") {
      count = word == ".v2" ? 2 : 4;
    } else if (word.starts_with('.')) {
      variable.type = type_named(word.substr(1));
      if (variable.type == Type::none) in.fail("unknown type " + std::string(word));
    } else {
      variable.name = word;
      break;
    }
  }
  while (in.take("[")) {
    if (!in.is("]")) {
      count *= in.integer();
    } else {
      count = 0;
    }
    in.expect("]");
  }
  variable.bytes = count * bytes_of(variable.type);
  if (variable.bytes < 0 || variable.bytes > (int64_t{1} << 32)) in.fail("too large a variable");
  variable.align = std::max<int64_t>(variable.align, bytes_of(variable.type));
  return variable;
}

namespace {

void add_initial(PtxReader& in, PtxVariable& variable, size_t& at) {
  const auto size = static_cast<size_t>(bytes_of(variable.type));
  const bool negative = in.is("-");
  const std::string_view text = in.peek(negative ? 1 : 0).text;
  uint64_t bits = 0;
  const bool real = text.starts_with("0f") || text.starts_with("0F") || text.starts_with("0d") ||
                    text.starts_with("0D");
  if (real) {
    const auto value = ptx_integer("0x" + std::string(text.substr(2)));
    if (!value) return in.fail("expected a real number");
    bits = static_cast<uint64_t>(*value);
    if (negative) bits ^= uint64_t{1} << (size * 8 - 1);
    if (negative) in.next();
    in.next();
  } else {
    bits = static_cast<uint64_t>(in.integer());
  }
  if (at + size > variable.initial.size()) return in.fail("too many initial values");
  std::memcpy(variable.initial.data() + at, &bits, size);
  at += size;
}

std::string_view section_skipped(PtxReader& in) {
  while (!in.at_end() && !in.is("{")) in.next();
  in.skip_braces();
  return {};
}

std::vector<PtxVariable> read_parameters(PtxReader& in) {
  std::vector<PtxVariable> list;
  in.expect("(");
  while (!in.take(")") && !in.failed()) {
    in.expect(".param");
    list.push_back(read_variable(in, Space::parameter));
    if (!in.is(")")) in.expect(",");
  }
  return list;
}

void read_function(PtxReader& in, PtxModule& module, bool entry) {
  PtxFunction function;
  function.entry = entry;
  if (in.is("(")) function.results = read_parameters(in);
  function.name = in.word();
  if (in.is("(")) function.parameters = read_parameters(in);
  while (!in.failed() && !in.is("{") && !in.is(";")) {
    const std::string_view word = in.word();
    if (word == ".noreturn") continue;
    if (word != ".maxntid" && word != ".reqntid" && word != ".minnctapersm" && word != ".maxnreg" &&
        word != ".maxnctapersm") {
      in.fail("unknown directive " + std::string(word));
    }
    int64_t product = 1;
    for (int axis = 0; axis < 3; axis++) {
      const int64_t value = in.integer();
      product *= value;
      if (word == ".reqntid") function.required[axis] = static_cast<int>(value);
      if (!in.take(",")) break;
    }
    if (word == ".maxntid" || word == ".reqntid") {
      function.max_threads = static_cast<int>(std::min<int64_t>(product, 1024));
      if (function.required[0] != 0) {
        for (int& side : function.required) side = std::max(side, 1);
      }
    }
  }
  if (!in.take(";")) {
    function.defined = true;
    read_body(in, function);
  }
  const auto earlier = std::find_if(module.functions.begin(), module.functions.end(),
                                    [&](const PtxFunction& f) { return f.name == function.name; });
  if (earlier == module.functions.end()) {
    module.functions.push_back(std::move(function));
  } else if (function.defined) {
    *earlier = std::move(function);
  }
}

void read_module_variable(PtxReader& in, PtxModule& module, Space space, bool external) {
  PtxVariable variable = read_variable(in, space);
  variable.external = external;
  read_initial(in, variable);
  in.expect(";");
  module.variables.push_back(std::move(variable));
}

void read_statement(PtxReader& in, PtxModule& module) {
  bool external = false;
  while (in.is(".visible") || in.is(".extern") || in.is(".weak") || in.is(".common")) {
    external = external || in.is(".extern");
    in.next();
  }
  const std::string_view word = in.word();
  if (word == ".version") {
    for (const char c : in.next().text) {
      if (c != '.') module.version = module.version * 10 + (c - '0');
    }
  } else if (word == ".target") {
    module.target = in.word();
    for (const char c : module.target) {
      if (c >= '0' && c <= '9') module.architecture = module.architecture * 10 + (c - '0');
    }
    while (in.take(",")) in.word();
  } else if (word == ".address_size") {
    if (in.integer() != 64) in.fail("only 64-bit addresses are supported");
  } else if (word == ".entry" || word == ".func") {
    read_function(in, module, word == ".entry");
  } else if (word == ".global" || word == ".const" || word == ".shared") {
    read_module_variable(in, module,
                         word == ".global"  ? Space::global
                         : word == ".const" ? Space::constant
                                            : Space::shared,
                         external);
  } else if (word == ".section") {
    section_skipped(in);
  } else if (word == ".pragma") {
    in.next();
    in.expect(";");
  } else {
    in.fail("unknown directive " + std::string(word));
  }
}

}  // namespace

void read_initial(PtxReader& in, PtxVariable& variable) {
  if (!in.take("=")) return;
  variable.initial.assign(static_cast<size_t>(variable.bytes), 0);
  size_t at = 0;
  int depth = 0;
  do {
    while (in.take("{")) depth++;
    if (!in.is("}")) add_initial(in, variable, at);
    while (depth > 0 && in.take("}")) depth--;
  } while (in.take(",") && !in.failed());
  if (depth != 0) in.fail("unbalanced braces");
}

PtxParsed parse_ptx(std::string_view source) {
  PtxReader in(source);
  PtxParsed parsed;
  while (!in.at_end()) read_statement(in, parsed.module);
  parsed.error = in.error();
  if (parsed.error.empty() && parsed.module.target.empty()) parsed.error = "no .target: not PTX";
  return parsed;
}

}  // namespace sqf

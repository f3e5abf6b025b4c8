#include <unordered_map>

#include "tests/cuda_emulator/ptx_reader.hpp"

// A function's body: registers and variables in nested scopes, labels, instructions with their
// operands.

namespace sqf {
namespace {

struct Names {
  std::unordered_map<std::string, int> registers, variables;
};

class BodyParser {
 public:
  BodyParser(PtxReader& in, PtxFunction& function) : in_(in), function_(function) {}

  void run() {
    open(-1);
    for (const auto* list : {&function_.parameters, &function_.results}) {
      for (const PtxVariable& variable : *list) declare(variable);
    }
    in_.expect("{");
    while (!names_.empty() && !in_.failed()) statement();
  }

 private:
  void open(int parent) {
    function_.scope_parents.push_back(parent);
    scopes_.push_back(static_cast<int>(function_.scope_parents.size()) - 1);
    names_.emplace_back();
  }

  void declare(const PtxVariable& variable) {
    names_.back().variables[variable.name] = static_cast<int>(function_.variables.size());
    function_.variables.push_back(variable);
  }

  int find_register(const std::string& name) const {
    for (auto scope = names_.rbegin(); scope != names_.rend(); ++scope) {
      const auto found = scope->registers.find(name);
      if (found != scope->registers.end()) return found->second;
    }
    return -1;
  }

  int find_variable(const std::string& name) const {
    for (auto scope = names_.rbegin(); scope != names_.rend(); ++scope) {
      const auto found = scope->variables.find(name);
      if (found != scope->variables.end()) return found->second;
    }
    return -1;
  }

  void statement() {
    if (in_.at_end()) return in_.fail("the function does not end");
    if (in_.take("{")) return open(scopes_.back());
    if (in_.take("}")) {
      names_.pop_back();
      scopes_.pop_back();
      return;
    }
    if (in_.take(";")) return;
    if (in_.peek().kind == Token::Kind::word && in_.peek(1).text == ":") return label();
    if (in_.peek().text.starts_with('.')) return directive();
    instruction();
  }

  void label() {
    PtxLabel label{std::string(in_.word()), scopes_.back(), function_.instructions.size(), {}};
    in_.expect(":");
    if (in_.take(".branchtargets")) {
      do label.targets.emplace_back(in_.word());
      while (in_.take(","));
      in_.expect(";");
    }
    function_.labels.push_back(std::move(label));
  }

  void directive() {
    const std::string_view word = in_.word();
    if (word == ".reg") return registers();
    if (word == ".pragma") {
      in_.next();
      return in_.expect(";");
    }
    const Space space = word == ".shared"  ? Space::shared
                        : word == ".local" ? Space::local
                        : word == ".param" ? Space::parameter
                                           : Space::generic;
    if (space == Space::generic) return in_.fail("unknown directive " + std::string(word));
    do declare(read_variable(in_, space));
    while (in_.take(","));
    in_.expect(";");
  }

  void registers() {
    const std::string_view word = in_.word();
    const Type type = word.starts_with('.') ? type_named(word.substr(1)) : Type::none;
    if (type == Type::none) return in_.fail("unknown register type " + std::string(word));
    do {
      const std::string name(in_.word());
      if (!in_.take("<")) {
        add_register(name, type);
        continue;
      }
      const int64_t count = in_.integer();
      in_.expect(">");
      if (count < 0 || count > 1 << 20) return in_.fail("too many registers");
      for (int64_t i = 0; i < count; i++) add_register(name + std::to_string(i), type);
    } while (in_.take(","));
    in_.expect(";");
  }

  void add_register(const std::string& name, Type type) {
    names_.back().registers[name] = static_cast<int>(function_.registers.size());
    function_.registers.push_back({name, type});
  }

  void instruction() {
    PtxInstruction out;
    const char* begin = in_.peek().text.data();
    out.line = in_.peek().line;
    out.scope = scopes_.back();
    if (in_.take("@")) {
      out.guard_negated = in_.take("!");
      const std::string name(in_.word());
      out.guard = find_register(name);
      if (out.guard < 0) return in_.fail("unknown predicate " + name);
    }
    split(in_.word(), out);
    while (!in_.failed() && !in_.is(";")) {
      out.operands.push_back(operand());
      if (!in_.is(";")) in_.expect(",");
    }
    const char* end = in_.peek().text.data();
    in_.expect(";");
    for (const char* c = begin; !in_.failed() && c < end; c++) {
      const bool blank = *c == ' ' || *c == '\t' || *c == '\n' || *c == '\r';
      if (!blank)
        out.text += *c;
      else if (!out.text.empty() && out.text.back() != ' ')
        out.text += ' ';
    }
    function_.instructions.push_back(std::move(out));
  }

  static void split(std::string_view word, PtxInstruction& out) {
    size_t dot = word.find('.');
    out.opcode = word.substr(0, dot);
    while (dot != std::string_view::npos) {
      const size_t end = word.find('.', dot + 1);
      out.modifiers.emplace_back(
          word.substr(dot + 1, end == std::string_view::npos ? end : end - dot - 1));
      dot = end;
    }
  }

  PtxOperand operand() {
    PtxOperand out;
    if (in_.is("[")) return address();
    if (in_.is("{") || in_.is("(")) {
      out.kind = PtxOperand::Kind::vector;
      out.parameters = in_.is("(");
      const std::string_view close = out.parameters ? ")" : "}";
      in_.next();
      while (!in_.take(close) && !in_.failed()) {
        if (in_.is("{") || in_.is("(")) in_.fail("a list in a list");
        out.elements.push_back(operand());
        if (!in_.is(close)) in_.expect(",");
      }
      return out;
    }
    if (in_.peek().kind == Token::Kind::number || in_.is("-")) return number();
    out.negated = in_.take("!");
    if (in_.peek().kind != Token::Kind::word) {
      in_.fail("expected an operand");
      return out;
    }
    out = named(std::string(in_.word()), out.negated);
    if (in_.take("|")) {
      const std::string second(in_.word());
      out.second = find_register(second);
      if (out.second < 0 && second != "_") in_.fail("unknown register " + second);
    }
    if (out.kind == PtxOperand::Kind::symbol && in_.take("+")) out.value = in_.integer();
    return out;
  }

  PtxOperand named(std::string name, bool negated) {
    PtxOperand out;
    out.negated = negated;
    if (name == "_") return out;
    out.reg = find_register(name);
    if (out.reg >= 0) {
      out.kind = PtxOperand::Kind::reg;
    } else if (name == "WARP_SZ") {
      out.kind = PtxOperand::Kind::integer;
      out.value = 32;
    } else {
      out.kind = name.starts_with('%') ? PtxOperand::Kind::special : PtxOperand::Kind::symbol;
      out.variable = find_variable(name);
    }
    out.name = std::move(name);
    return out;
  }

  PtxOperand number() {
    PtxOperand out;
    const bool negative = in_.is("-");
    const std::string_view text = in_.peek(negative ? 1 : 0).text;
    const bool single = text.starts_with("0f") || text.starts_with("0F");
    if (single || text.starts_with("0d") || text.starts_with("0D")) {
      out.kind = single ? PtxOperand::Kind::real32 : PtxOperand::Kind::real64;
      const auto bits = ptx_integer("0x" + std::string(text.substr(2)));
      if (!bits || text.size() != (single ? 10 : 18)) in_.fail("malformed real number");
      if (negative) in_.next();
      in_.next();
      if (!bits) return out;
      out.value = *bits;
      if (negative) out.value ^= single ? int64_t{1} << 31 : int64_t{1} << 63;
      return out;
    }
    if (text.find('.') != std::string_view::npos) in_.fail("write reals as 0f or 0d");
    out.kind = PtxOperand::Kind::integer;
    out.value = in_.integer();
    return out;
  }

  PtxOperand address() {
    in_.expect("[");
    PtxOperand out;
    if (in_.peek().kind == Token::Kind::number) {
      out.value = in_.integer();
    } else {
      out = named(std::string(in_.word()), false);
      if (out.kind == PtxOperand::Kind::special) in_.fail("unknown register " + out.name);
      if (in_.take("+"))
        out.value = in_.integer();
      else if (in_.is("-"))
        out.value = in_.integer();
    }
    out.kind = PtxOperand::Kind::address;
    in_.expect("]");
    return out;
  }

  PtxReader& in_;
  PtxFunction& function_;
  std::vector<Names> names_;
  std::vector<int> scopes_;
};

}  // namespace

void read_body(PtxReader& in, PtxFunction& function) {
  BodyParser(in, function).run();
}

}  // namespace sqf

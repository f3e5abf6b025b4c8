#pragma once

// What a PTX text says, before any of it is given a meaning: names resolved to registers and
// variables of the function, opcodes and modifiers still words.

#include <cstdint>
#include <string>
#include <vector>

#include "tests/cuda_emulator/types.hpp"

namespace sqf {

struct PtxOperand {
  enum class Kind { reg, integer, real32, real64, symbol, address, vector, sink, special };
  Kind kind = Kind::sink;
  int reg = -1;  // index in the function; of an address: its base, -1 where a symbol or nothing is
  int second = -1;          // the register after '|'
  bool negated = false;     // !p
  bool parameters = false;  // (a, b): arguments or results of a call
  int64_t value = 0;        // an integer, the bits of a real, the displacement of an address
  int variable = -1;        // of a symbol: index in the function, -1 where the name is the module's
  std::string name;         // symbol or special register
  std::vector<PtxOperand> elements;
};

struct PtxInstruction {
  std::string opcode;
  std::vector<std::string> modifiers;
  int guard = -1;
  bool guard_negated = false;
  std::vector<PtxOperand> operands;
  int scope = 0;
  int line = 0;
  std::string text;
};

struct PtxRegister {
  std::string name;
  Type type = Type::none;
};

struct PtxVariable {
  std::string name;
  Space space = Space::global;
  Type type = Type::none;
  int64_t bytes = 0;  // 0: size unknown (.extern x[])
  int64_t align = 1;
  bool external = false;
  std::vector<uint8_t> initial;
};

struct PtxLabel {
  std::string name;
  int scope = 0;
  size_t position = 0;               // the instruction it stands before
  std::vector<std::string> targets;  // .branchtargets
};

struct PtxFunction {
  std::string name;
  bool entry = false;
  bool defined = false;
  std::vector<PtxVariable> parameters, results;
  std::vector<PtxRegister> registers;
  std::vector<PtxVariable> variables;
  std::vector<PtxInstruction> instructions;
  std::vector<PtxLabel> labels;
  std::vector<int> scope_parents;  // of each { }, the enclosing one; the body is 0 with parent -1
  int max_threads = 1024;
  int required[3] = {0, 0, 0};  // .reqntid
};

struct PtxModule {
  int version = 0;       // 90 for 9.0
  int architecture = 0;  // 80 for sm_80
  std::string target;
  std::vector<PtxFunction> functions;
  std::vector<PtxVariable> variables;
};

struct PtxParsed {
  PtxModule module;
  std::string error;  // empty where all was understood
};
PtxParsed parse_ptx(std::string_view source);

}  // namespace sqf

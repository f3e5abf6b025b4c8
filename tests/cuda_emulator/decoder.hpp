#pragma once

// PTX instructions to operations. A family of instructions takes the modifiers it understands,
// names its operands and sets what runs; a modifier nobody took, an operand of the wrong width or
// an unknown word is a mistake that names itself. Calls are unfolded in place, each with registers
// of its own; recursion is refused.

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tests/cuda_emulator/program.hpp"
#include "tests/cuda_emulator/ptx_syntax.hpp"

namespace sqf {

struct ModuleSymbol {
  Space space = Space::global;
  uint64_t address = 0;  // global and constant: of the host; shared: unused
};
using ModuleSymbols = std::unordered_map<std::string, ModuleSymbol>;

class Decoder {
 public:
  Decoder(const PtxModule& module, const ModuleSymbols& symbols, Kernel& kernel)
      : module_(module), symbols_(symbols), kernel_(kernel) {}

  /// Fills the kernel from its entry function; returns what was not understood, or nothing.
  std::string run(const PtxFunction& entry);

  // For the families. `in` is the instruction; modifiers are taken from a copy of its list.
  const PtxInstruction& in() const { return *in_; }
  Op op;

  bool take(std::string_view modifier);
  bool take_prefix(std::string_view prefix);  // the first modifier that begins so
  std::string_view first() const;             // the first modifier left
  std::string take_first();
  Type take_type();        // the first modifier left that is one; a mistake if none
  Type last_type() const;  // not taken; none if there is none
  std::optional<Rounding> take_rounding();  // .rn .rz .rm .rp .rna
  void take_float_modifiers();              // .ftz .sat

  size_t operands() const { return in_->operands.size(); }
  bool need_operands(size_t least, size_t most);
  const PtxOperand& operand(size_t index) const;

  // Operands in order; `loose`: the register may be wider than the type.
  void result(const PtxOperand& operand, Type type, bool loose = false);
  void result(size_t index, Type type, bool loose = false) { result(operand(index), type, loose); }
  void source(const PtxOperand& operand, Type type, bool loose = false);
  void source(size_t index, Type type, bool loose = false) { source(operand(index), type, loose); }
  void second_result(size_t index);  // the predicate after '|'
  void no_second_result(uint32_t place);
  void vector_results(size_t index, Type type, bool loose = false);
  void vector_sources(size_t index, Type type, bool loose = false);
  void address(size_t index, Space space);
  bool simple(Run what, Type out, std::initializer_list<Type> sources);

  bool fail(const std::string& message);
  bool refuse(Type type);  // the instruction has no such type
  uint32_t constant(uint64_t bits, int bytes);

  // Control flow, for its family.
  void jump_to(const PtxOperand& label);
  void jump_table(const PtxOperand& label);
  bool returns_to_caller();
  bool is_declared_only(const std::string& name) const;
  void call();

 private:
  struct Instance {  // one unfolding of a function
    const PtxFunction* function = nullptr;
    const Instance* caller = nullptr;
    std::vector<uint32_t> slots;                        // of its registers
    std::vector<int64_t> variables;                     // their places
    std::vector<uint32_t> label_ops;                    // of its labels
    std::vector<std::pair<uint32_t, int>> fix_targets;  // operation, label
    std::vector<uint32_t> fix_returns;
  };
  struct FixTable {
    size_t table;
    std::vector<int> labels;
  };

  bool unfold(Instance& instance, const std::vector<int64_t>& bindings);
  void place_variables(Instance& instance, const std::vector<int64_t>& bindings);
  void place_parameters(const PtxFunction& entry);
  bool decode_one(const PtxInstruction& instruction);
  void emit();
  int find_label(const std::string& name, int scope) const;
  uint32_t special(const std::string& name, Type type);
  std::optional<std::pair<Space, int64_t>> place_of(const PtxOperand& symbol);
  int64_t allot_local(int64_t bytes, int64_t align);
  int64_t allot_shared(const std::string& name, const PtxVariable& variable);

  const PtxModule& module_;
  const ModuleSymbols& symbols_;
  Kernel& kernel_;
  const PtxInstruction* in_ = nullptr;
  std::vector<std::string> modifiers_;
  Instance* instance_ = nullptr;
  std::vector<FixTable> fix_tables_;
  std::map<std::pair<uint64_t, int>, uint32_t> constants_;
  std::map<std::string, uint32_t> specials_;
  std::map<std::string, int64_t> shared_places_;
  std::vector<size_t>
      dynamic_bases_;           // constants that count from the end of the static shared memory
  int64_t dynamic_align_ = 16;  // of dynamic shared memory
  std::string error_;
};

// The families: false where the opcode is not theirs.
bool decode_carry(Decoder& decoder);
bool decode_integer(Decoder& decoder);
bool decode_dot(Decoder& decoder);
bool decode_bits(Decoder& decoder);
bool decode_float(Decoder& decoder);
bool decode_half(Decoder& decoder);
bool decode_convert(Decoder& decoder);
bool decode_move(Decoder& decoder);
bool decode_compare(Decoder& decoder);
bool decode_memory(Decoder& decoder);
bool decode_atomic(Decoder& decoder);
bool decode_copy(Decoder& decoder);
bool decode_shuffle(Decoder& decoder);
bool decode_matrix(Decoder& decoder);
bool decode_control(Decoder& decoder);

constexpr uint64_t kSharedWindow = uint64_t{1} << 56;  // generic addresses of shared memory
constexpr uint64_t kLocalWindow = uint64_t{2} << 56;
constexpr uint64_t kParameterWindow = uint64_t{3} << 56;
constexpr int64_t kDynamicShared = int64_t{1}
                                   << 40;  // stands for the end of the static part while decoding

}  // namespace sqf

#include "tests/cuda_emulator/decoder.hpp"

#include <algorithm>

#include "tests/cuda_emulator/flow.hpp"

namespace sqf {
namespace {

int64_t aligned(int64_t value, int64_t align) {
  return (value + align - 1) / align * align;
}

constexpr bool (*kFamilies[])(Decoder&) = {
    decode_carry,  decode_integer, decode_dot,     decode_bits,    decode_float,
    decode_half,   decode_convert, decode_move,    decode_compare, decode_memory,
    decode_atomic, decode_copy,    decode_shuffle, decode_matrix,  decode_control};

}  // namespace

bool Decoder::fail(const std::string& message) {
  if (error_.empty()) {
    error_ = "kernel " + kernel_.name + ": " + message;
    if (in_ != nullptr) {
      error_ += " in '" + in_->text + "' (PTX line " + std::to_string(in_->line) + ")";
    }
  }
  return true;
}

std::string Decoder::run(const PtxFunction& entry) {
  kernel_.name = entry.name;
  kernel_.max_threads = entry.max_threads;
  std::copy(entry.required, entry.required + 3, kernel_.required.begin());
  place_parameters(entry);
  Instance instance;
  instance.function = &entry;
  std::vector<int64_t> bindings;
  for (const KernelParameter& parameter : kernel_.parameters) bindings.push_back(parameter.offset);
  unfold(instance, bindings);
  if (!error_.empty()) return error_;
  kernel_.static_shared_bytes = aligned(kernel_.static_shared_bytes, dynamic_align_);
  for (Op& operation : kernel_.ops) {
    if (operation.offset >= kDynamicShared / 2 && operation.offset < kDynamicShared * 2 &&
        operation.space == Space::shared) {
      operation.offset += kernel_.static_shared_bytes - kDynamicShared;
    }
  }
  for (const size_t index : dynamic_bases_) {
    kernel_.constants[index].bits +=
        static_cast<uint64_t>(kernel_.static_shared_bytes - kDynamicShared);
  }
  find_reconvergence(kernel_);
  return error_;
}

void Decoder::place_parameters(const PtxFunction& entry) {
  int64_t at = 0;
  for (const PtxVariable& parameter : entry.parameters) {
    at = aligned(at, parameter.align);
    kernel_.parameters.push_back({at, parameter.bytes});
    at += parameter.bytes;
  }
  kernel_.parameter_bytes = at;
}

int64_t Decoder::allot_local(int64_t bytes, int64_t align) {
  const int64_t place = aligned(kernel_.local_bytes, align);
  kernel_.local_bytes = place + bytes;
  if (kernel_.local_bytes > int64_t{1} << 20) fail("more than 1 MiB of local memory");
  return place;
}

int64_t Decoder::allot_shared(const std::string& name, const PtxVariable& variable) {
  if (variable.external || variable.bytes == 0) {
    dynamic_align_ = std::max(dynamic_align_, variable.align);
    return kDynamicShared;
  }
  const auto found = shared_places_.find(name);
  if (found != shared_places_.end()) return found->second;
  const int64_t place = aligned(kernel_.static_shared_bytes, variable.align);
  kernel_.static_shared_bytes = place + variable.bytes;
  return shared_places_[name] = place;
}

/// `bindings`: places of the parameters, then of the results, which the caller has.
void Decoder::place_variables(Instance& instance, const std::vector<int64_t>& bindings) {
  const PtxFunction& function = *instance.function;
  for (size_t i = 0; i < function.variables.size(); i++) {
    const PtxVariable& variable = function.variables[i];
    if (i < bindings.size()) {
      instance.variables.push_back(bindings[i]);
    } else if (variable.space == Space::shared) {
      instance.variables.push_back(allot_shared(function.name + " " + std::to_string(i), variable));
    } else {
      instance.variables.push_back(allot_local(variable.bytes, variable.align));
    }
  }
}

bool Decoder::unfold(Instance& instance, const std::vector<int64_t>& bindings) {
  const PtxFunction& function = *instance.function;
  Instance* const outer = instance_;
  instance_ = &instance;
  place_variables(instance, bindings);
  for (const PtxRegister& reg : function.registers) {
    instance.slots.push_back(kernel_.slots);
    kernel_.slots += bytes_of(reg.type) == 8 ? 2 : 1;
    kernel_.registers += bytes_of(reg.type) == 8 ? 2 : 1;
  }
  if (kernel_.slots > 1u << 20) return fail("too many registers");
  instance.label_ops.assign(function.labels.size(), kNowhere);
  const size_t first_table = fix_tables_.size();
  size_t label = 0;
  for (size_t i = 0; i <= function.instructions.size(); i++) {
    while (label < function.labels.size() && function.labels[label].position == i) {
      instance.label_ops[label++] = static_cast<uint32_t>(kernel_.ops.size());
    }
    if (i < function.instructions.size()) decode_one(function.instructions[i]);
    if (!error_.empty()) break;
  }
  if (instance.caller == nullptr && error_.empty()) {  // the end of the body is a return
    op = Op{};
    in_ = nullptr;
    PtxInstruction end;
    end.opcode = end.text = "ret";
    decode_one(end);
  }
  const auto here = static_cast<uint32_t>(kernel_.ops.size());
  for (const auto& [at, to] : instance.fix_targets) {
    kernel_.ops[at].target = instance.label_ops[static_cast<size_t>(to)];
  }
  for (const uint32_t at : instance.fix_returns) kernel_.ops[at].target = here;
  for (size_t t = first_table; t < fix_tables_.size(); t++) {
    for (const int to : fix_tables_[t].labels) {
      kernel_.branch_tables[fix_tables_[t].table].push_back(
          instance.label_ops[static_cast<size_t>(to)]);
    }
  }
  fix_tables_.resize(first_table);
  instance_ = outer;
  return true;
}

bool Decoder::decode_one(const PtxInstruction& instruction) {
  if (kernel_.ops.size() > size_t{1} << 20)
    return fail("too many instructions with all calls unfolded");
  in_ = &instruction;
  modifiers_ = instruction.modifiers;
  op = Op{};
  if (instruction.guard >= 0) {
    op.guarded = true;
    op.guard_negated = instruction.guard_negated;
    op.guard = instance_->slots[static_cast<size_t>(instruction.guard)];
  }
  for (const auto family : kFamilies) {
    if (!family(*this)) continue;
    if (!error_.empty()) return false;
    if (!modifiers_.empty()) return fail("unknown modifier '." + modifiers_.front() + "'");
    in_ = &instruction;
    if (op.run != nullptr) emit();
    return true;
  }
  return fail("unknown instruction '" + instruction.opcode + "'");
}

void Decoder::emit() {
  op.text = static_cast<uint32_t>(kernel_.texts.size());
  kernel_.texts.push_back(in_->text + " (PTX line " + std::to_string(in_->line) + ")");
  kernel_.ops.push_back(op);
}

int Decoder::find_label(const std::string& name, int scope) const {
  const PtxFunction& function = *instance_->function;
  for (; scope >= 0; scope = function.scope_parents[static_cast<size_t>(scope)]) {
    for (size_t i = 0; i < function.labels.size(); i++) {
      if (function.labels[i].scope == scope && function.labels[i].name == name) {
        return static_cast<int>(i);
      }
    }
  }
  return -1;
}

void Decoder::jump_to(const PtxOperand& label) {
  const int found = find_label(label.name, in_->scope);
  if (found < 0) {
    fail("unknown label '" + label.name + "'");
    return;
  }
  instance_->fix_targets.emplace_back(static_cast<uint32_t>(kernel_.ops.size()), found);
}

void Decoder::jump_table(const PtxOperand& label) {
  const int found = find_label(label.name, in_->scope);
  if (found < 0) {
    fail("unknown label '" + label.name + "'");
    return;
  }
  FixTable table{kernel_.branch_tables.size(), {}};
  for (const std::string& target :
       instance_->function->labels[static_cast<size_t>(found)].targets) {
    table.labels.push_back(find_label(target, in_->scope));
    if (table.labels.back() < 0) fail("unknown label '" + target + "'");
  }
  op.offset = static_cast<int64_t>(table.table);
  kernel_.branch_tables.emplace_back();
  fix_tables_.push_back(std::move(table));
}

bool Decoder::returns_to_caller() {
  if (instance_->caller == nullptr) return false;
  instance_->fix_returns.push_back(static_cast<uint32_t>(kernel_.ops.size()));
  return true;
}

bool Decoder::is_declared_only(const std::string& name) const {
  return std::any_of(module_.functions.begin(), module_.functions.end(),
                     [&](const PtxFunction& f) { return f.name == name && !f.defined; });
}

void Decoder::call() {
  // call (results), name, (arguments)   with both lists optional
  size_t at = 0;
  std::vector<PtxOperand> results, arguments;
  if (at < operands() && operand(at).parameters) results = operand(at++).elements;
  const std::string name = at < operands() ? operand(at++).name : "";
  if (at < operands() && operand(at).parameters) arguments = operand(at++).elements;
  const auto callee = std::find_if(module_.functions.begin(), module_.functions.end(),
                                   [&](const PtxFunction& f) { return f.name == name; });
  if (callee == module_.functions.end()) {
    fail("call of something that is no function of the module");
    return;
  }
  for (const Instance* up = instance_; up != nullptr; up = up->caller) {
    if (up->function == &*callee) {
      fail("recursive call of " + name);
      return;
    }
  }
  if (arguments.size() != callee->parameters.size() || results.size() != callee->results.size()) {
    fail("call with another number of arguments");
    return;
  }
  std::vector<int64_t> bindings;
  for (const auto* list : {&arguments, &results}) {
    for (const PtxOperand& argument : *list) {
      if (argument.variable < 0) {
        fail("an argument that is no .param variable");
        return;
      }
      bindings.push_back(instance_->variables[static_cast<size_t>(argument.variable)]);
    }
  }
  Instance instance;
  instance.function = &*callee;
  instance.caller = instance_;
  const PtxInstruction* const caller_in = in_;
  unfold(instance, bindings);
  in_ = caller_in;
  op = Op{};
}

}  // namespace sqf

#include <algorithm>

#include "tests/cuda_emulator/decoder.hpp"

// Modifiers and operands of one instruction.

namespace sqf {
namespace {

struct SpecialRow {
  std::string_view name;
  Special special;
  int bytes;
};
constexpr SpecialRow kSpecials[] = {
    {"%tid.x", Special::tid_x, 4},
    {"%tid.y", Special::tid_y, 4},
    {"%tid.z", Special::tid_z, 4},
    {"%ntid.x", Special::ntid_x, 4},
    {"%ntid.y", Special::ntid_y, 4},
    {"%ntid.z", Special::ntid_z, 4},
    {"%ctaid.x", Special::ctaid_x, 4},
    {"%ctaid.y", Special::ctaid_y, 4},
    {"%ctaid.z", Special::ctaid_z, 4},
    {"%nctaid.x", Special::nctaid_x, 4},
    {"%nctaid.y", Special::nctaid_y, 4},
    {"%nctaid.z", Special::nctaid_z, 4},
    {"%laneid", Special::laneid, 4},
    {"%warpid", Special::warpid, 4},
    {"%nwarpid", Special::nwarpid, 4},
    {"%smid", Special::smid, 4},
    {"%nsmid", Special::nsmid, 4},
    {"%gridid", Special::gridid, 8},
    {"%lanemask_eq", Special::lanemask_eq, 4},
    {"%lanemask_le", Special::lanemask_le, 4},
    {"%lanemask_lt", Special::lanemask_lt, 4},
    {"%lanemask_ge", Special::lanemask_ge, 4},
    {"%lanemask_gt", Special::lanemask_gt, 4},
    {"%dynamic_smem_size", Special::dynamic_smem_size, 4},
    {"%total_smem_size", Special::total_smem_size, 4},
    {"%clock", Special::clock, 4},
    {"%clock64", Special::clock64, 8},
    {"%globaltimer", Special::clock64, 8},
};

uint64_t low_bytes(uint64_t bits, int bytes) {
  return bytes >= 8 ? bits : bits & ((uint64_t{1} << (8 * bytes)) - 1);
}

}  // namespace

bool Decoder::take(std::string_view modifier) {
  const auto found = std::find(modifiers_.begin(), modifiers_.end(), modifier);
  if (found == modifiers_.end()) return false;
  modifiers_.erase(found);
  return true;
}

bool Decoder::take_prefix(std::string_view prefix) {
  const auto found = std::find_if(modifiers_.begin(), modifiers_.end(),
                                  [&](const std::string& m) { return m.starts_with(prefix); });
  if (found == modifiers_.end()) return false;
  modifiers_.erase(found);
  return true;
}

std::string_view Decoder::first() const {
  return modifiers_.empty() ? std::string_view{} : std::string_view(modifiers_.front());
}

std::string Decoder::take_first() {
  if (modifiers_.empty()) {
    fail("a modifier is missing");
    return {};
  }
  std::string taken = modifiers_.front();
  modifiers_.erase(modifiers_.begin());
  return taken;
}

Type Decoder::last_type() const {
  for (auto modifier = modifiers_.rbegin(); modifier != modifiers_.rend(); ++modifier) {
    if (const Type type = type_named(*modifier); type != Type::none) return type;
  }
  return Type::none;
}

Type Decoder::take_type() {
  for (auto modifier = modifiers_.begin(); modifier != modifiers_.end(); ++modifier) {
    const Type type = type_named(*modifier);
    if (type == Type::none) continue;
    modifiers_.erase(modifier);
    return type;
  }
  fail(modifiers_.empty() ? "the type is missing" : "unknown type '." + modifiers_.back() + "'");
  return Type::b32;
}

std::optional<Rounding> Decoder::take_rounding() {
  if (take("rn")) return Rounding::nearest_even;
  if (take("rz")) return Rounding::zero;
  if (take("rm")) return Rounding::down;
  if (take("rp")) return Rounding::up;
  if (take("rna")) return Rounding::nearest_away;
  return std::nullopt;
}

void Decoder::take_float_modifiers() {
  op.flush = take("ftz");
  op.saturate = take("sat");
}

bool Decoder::need_operands(size_t least, size_t most) {
  if (operands() >= least && operands() <= most) return true;
  fail("wrong number of operands");
  return false;
}

const PtxOperand& Decoder::operand(size_t index) const {
  static const PtxOperand none;
  return index < operands() ? in_->operands[index] : none;
}

bool Decoder::refuse(Type type) {
  return fail("type '." + std::string(name_of(type)) + "' is not supported");
}

uint32_t Decoder::constant(uint64_t bits, int bytes) {
  const auto [found, added] = constants_.try_emplace({bits, bytes}, kernel_.slots);
  if (added) {
    kernel_.constants.push_back({kernel_.slots, bits, bytes});
    kernel_.slots += bytes >= 8 ? 2 : 1;
  }
  return found->second;
}

uint32_t Decoder::special(const std::string& name, Type type) {
  for (const SpecialRow& row : kSpecials) {
    if (row.name != name) continue;
    if (row.bytes != bytes_of(type) && !(row.bytes == 4 && bytes_of(type) == 2)) {
      fail("special register " + name + " of another width");
      return 0;
    }
    if (row.special == Special::clock || row.special == Special::clock64) {
      if (in_->opcode != "mov") fail("special register " + name + " outside mov");
      op.mode = static_cast<uint8_t>(row.special);
      return constant(0, row.bytes);
    }
    const auto [found, added] = specials_.try_emplace(name, kernel_.slots);
    if (added) {
      kernel_.specials.push_back({kernel_.slots, row.special});
      kernel_.slots += row.bytes == 8 ? 2 : 1;
    }
    return found->second;
  }
  fail("unknown special register '" + name + "'");
  return 0;
}

void Decoder::result(const PtxOperand& operand, Type type, bool loose) {
  if (op.dst_count >= op.dst.size()) {
    fail("too many results");
    return;
  }
  uint32_t& place = op.dst[op.dst_count++];
  if (operand.kind == PtxOperand::Kind::sink) return;
  if (operand.kind != PtxOperand::Kind::reg) {
    fail("expected a register for the result");
    return;
  }
  const Type held = instance_->function->registers[static_cast<size_t>(operand.reg)].type;
  const int have = bytes_of(held), want = bytes_of(type);
  const bool fits = (held == Type::pred) == (type == Type::pred) &&
                    (loose ? have >= want : have == want || (want == 1 && have == 2));
  if (!fits) fail("register " + operand.name + " has another width");
  op.wide_result = have == 8;
  place = instance_->slots[static_cast<size_t>(operand.reg)];
}

void Decoder::source(const PtxOperand& operand, Type type, bool loose) {
  if (op.src_count >= op.src.size()) {
    fail("too many operands");
    return;
  }
  uint32_t& place = op.src[op.src_count];
  if (operand.negated) op.negated |= 1u << op.src_count;
  op.src_count++;
  if (operand.negated && type != Type::pred) fail("'!' before something that is no predicate");
  const int want = bytes_of(type);
  switch (operand.kind) {
    case PtxOperand::Kind::reg: {
      const Type held = instance_->function->registers[static_cast<size_t>(operand.reg)].type;
      const int have = bytes_of(held);
      const bool fits = (held == Type::pred) == (type == Type::pred) &&
                        (loose ? have >= want : have == want || (want == 1 && have == 2));
      if (!fits) fail("register " + operand.name + " has another width");
      if (loose) op.wide_source = have == 8;
      place = instance_->slots[static_cast<size_t>(operand.reg)];
      break;
    }
    case PtxOperand::Kind::integer:
      if (type == Type::f32 || type == Type::f64) fail("an integer where a real is due");
      place = type == Type::pred ? constant(operand.value != 0 ? 0xffffffff : 0, 4)
                                 : constant(low_bytes(static_cast<uint64_t>(operand.value), want),
                                            std::max(want, 4));
      break;
    case PtxOperand::Kind::real32:
    case PtxOperand::Kind::real64:
      if (want != (operand.kind == PtxOperand::Kind::real32 ? 4 : 8)) {
        fail("a real of another width");
      }
      place = constant(low_bytes(static_cast<uint64_t>(operand.value), want), want);
      break;
    case PtxOperand::Kind::special:
      place = special(operand.name, type);
      break;
    case PtxOperand::Kind::symbol: {
      const auto found = place_of(operand);
      if (!found) break;
      const bool dynamic = found->first == Space::shared && found->second >= kDynamicShared / 2;
      if (want < 4) fail("an address in a narrow operand");
      if (!dynamic) {
        place = constant(static_cast<uint64_t>(found->second), want);
        break;
      }
      // The end of the static shared memory is not known yet.
      dynamic_bases_.push_back(kernel_.constants.size());
      kernel_.constants.push_back({kernel_.slots, static_cast<uint64_t>(found->second), want});
      place = kernel_.slots;
      kernel_.slots += want == 8 ? 2 : 1;
      break;
    }
    default:
      fail("unexpected operand");
  }
}

void Decoder::second_result(size_t index) {
  const int second = operand(index).second;
  uint32_t place = 0;
  if (second >= 0) {
    place = instance_->slots[static_cast<size_t>(second)];
    if (instance_->function->registers[static_cast<size_t>(second)].type != Type::pred) {
      fail("expected a predicate after '|'");
    }
  }
  op.dst[op.dst_count++] = place;
}

void Decoder::vector_results(size_t index, Type type, bool loose) {
  const PtxOperand& list = operand(index);
  if (list.kind != PtxOperand::Kind::vector) return result(list, type, loose);
  for (const PtxOperand& element : list.elements) result(element, type, loose);
}

void Decoder::vector_sources(size_t index, Type type, bool loose) {
  const PtxOperand& list = operand(index);
  if (list.kind != PtxOperand::Kind::vector) return source(list, type, loose);
  bool any_wide = false, all_wide = true;
  for (const PtxOperand& element : list.elements) {
    op.wide_source = bytes_of(type) == 8;
    source(element, type, loose);
    any_wide = any_wide || op.wide_source;
    all_wide = all_wide && op.wide_source;
  }
  if (any_wide != all_wide) fail("registers of different widths");
}

/// Where a variable lies in its space. A kernel's parameters lie in the parameter space, those of
/// calls in the local one.
std::optional<std::pair<Space, int64_t>> Decoder::place_of(const PtxOperand& symbol) {
  if (symbol.variable >= 0) {
    const auto index = static_cast<size_t>(symbol.variable);
    const PtxFunction& function = *instance_->function;
    Space space = function.variables[index].space;
    if (space == Space::parameter &&
        (instance_->caller != nullptr || index >= function.parameters.size())) {
      space = Space::local;
    }
    return std::pair{space, instance_->variables[index] + symbol.value};
  }
  const auto found = symbols_.find(symbol.name);
  if (found == symbols_.end()) {
    fail("unknown name '" + symbol.name + "'");
    return std::nullopt;
  }
  if (found->second.space != Space::shared) {
    return std::pair{found->second.space,
                     static_cast<int64_t>(found->second.address) + symbol.value};
  }
  for (const PtxVariable& variable : module_.variables) {
    if (variable.name == symbol.name) {
      return std::pair{Space::shared, allot_shared(symbol.name, variable) + symbol.value};
    }
  }
  return std::nullopt;
}

/// The base becomes the next source; op.space, op.offset and op.wide_address say the rest.
void Decoder::address(size_t index, Space space) {
  const PtxOperand& place = operand(index);
  op.space = space;
  if (place.kind != PtxOperand::Kind::address) {
    fail("expected an address");
    return;
  }
  op.offset = place.value;
  if (place.reg >= 0) {
    const Type held = instance_->function->registers[static_cast<size_t>(place.reg)].type;
    op.wide_address = bytes_of(held) == 8;
    if (bytes_of(held) < 4) fail("an address in a narrow register");
    op.src[op.src_count++] = instance_->slots[static_cast<size_t>(place.reg)];
    return;
  }
  op.src[op.src_count++] = constant(0, 8);
  if (place.name.empty()) return;
  const auto found = place_of(place);
  if (!found) return;
  op.offset = found->second;
  const bool same =
      found->first == space || (space == Space::parameter && found->first == Space::local);
  if (space == Space::generic) {
    if (found->first == Space::shared) fail("a generic address of a shared variable");
    if (found->first == Space::local) op.offset += static_cast<int64_t>(kLocalWindow);
  } else if (!same) {
    fail("'" + place.name + "' is in another space");
  } else {
    op.space = found->first;
  }
}

bool Decoder::simple(Run what, Type out, std::initializer_list<Type> sources) {
  op.run = what;
  if (!need_operands(sources.size() + 1, sources.size() + 1)) return true;
  result(0, out);
  size_t index = 1;
  for (const Type type : sources) source(index++, type);
  return true;
}

}  // namespace sqf

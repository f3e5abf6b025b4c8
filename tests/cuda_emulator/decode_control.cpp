#include <algorithm>

#include "tests/cuda_emulator/block.hpp"
#include "tests/cuda_emulator/decoder.hpp"
#include "tests/cuda_emulator/flow.hpp"
#include "tests/cuda_emulator/lanes.hpp"

// Branches, ends, calls, barriers and fences.

namespace sqf {
namespace {

enum BarrierUse : uint8_t { kSync, kArrive, kCount, kAll, kAny };  // op.mode

void run_nowhere(Warp&, const Op&) {}

void run_trap(Warp& warp, const Op&) {
  warp.fail(719, static_cast<unsigned>(std::countr_zero(warp.active)), "the kernel stopped itself");
}

bool branch(Decoder& d) {
  d.take("uni");
  if (!d.need_operands(1, 1)) return true;
  d.jump_to(d.operand(0));
  d.op.run = run_branch;
  return true;
}

bool branch_by_index(Decoder& d) {
  if (!d.take("idx")) return d.fail(".idx is missing");
  d.take("uni");
  if (!d.need_operands(2, 2)) return true;
  d.source(0, Type::u32);
  d.jump_table(d.operand(1));
  d.op.run = run_branch_table;
  return true;
}

bool leave(Decoder& d, bool returns) {
  d.take("uni");
  if (returns && d.returns_to_caller()) {
    d.op.run = run_branch;
    return true;
  }
  d.op.run = run_exit;
  return true;
}

/// A function without a body stops the launch that comes to it: __assertfail and the like.
bool is_external(Decoder& d) {
  for (size_t i = 0; i < d.operands() && i < 2; i++) {
    const PtxOperand& operand = d.operand(i);
    if (!operand.parameters && d.is_declared_only(operand.name)) return true;
  }
  return false;
}

bool call(Decoder& d) {
  d.take("uni");
  if (is_external(d)) {
    d.op.run = [](Warp& warp, const Op&) {
      warp.fail(719, static_cast<unsigned>(std::countr_zero(warp.active)),
                "a call of a function that the module does not contain");
    };
    return true;
  }
  if (d.in().guard >= 0) return d.fail("a call under a predicate");
  d.call();
  return true;
}

void run_barrier(Warp& warp, const Op& op) {
  const auto first = static_cast<unsigned>(std::countr_zero(warp.active));
  if (warp.active != warp.live) {
    if (warp.postpone()) return;
    return warp.fail(719, first, "a barrier that only some of the warp's lanes come to");
  }
  warp.met();
  const uint32_t id = warp.slot(op.src[0])[first];
  const uint32_t threads = op.src_count > 1 && op.low_16 ? warp.slot(op.src[1])[first] : 0;
  if (id > 15 || threads % 32 != 0) {
    return warp.fail(719, first, "a barrier number above 15, or a count that is no multiple of 32");
  }
  uint32_t ballot = 0;
  if (op.mode >= kCount) {
    ballot = warp.slot(op.src[op.src_count - 1])[0];
    if (((op.negated >> (op.src_count - 1)) & 1) != 0) ballot = ~ballot;
  }
  warp.block->arrive(warp, id, threads, op.mode != kArrive, ballot & warp.active);
}

bool barrier(Decoder& d) {
  d.op.op_class = OpClass::barrier;
  if (d.first() == "warp") {  // lanes are in lockstep: nothing to wait for
    d.take("warp");
    if (!d.take("sync")) return d.fail(".sync is missing");
    d.source(0, Type::b32);
    d.op.run = run_nowhere;
    return true;
  }
  d.take("cta");
  d.take("aligned");
  size_t at = 0;
  if (d.take("arrive")) {
    d.op.mode = kArrive;
  } else if (d.take("red")) {
    d.op.mode = d.take("popc") ? kCount : d.take("and") ? kAll : d.take("or") ? kAny : kSync;
    if (d.op.mode == kSync) return d.fail("one of .popc .and .or is missing");
    d.result(at++, d.take_type());
  } else if (!d.take("sync")) {
    return d.fail("one of .sync .arrive .red is missing");
  }
  const size_t predicates = d.op.mode >= kCount ? 1 : 0;
  if (!d.need_operands(at + 1 + predicates, at + 2 + predicates)) return true;
  d.source(at++, Type::u32);
  d.op.low_16 = at + predicates < d.operands();  // a count is given
  if (d.op.low_16) d.source(at++, Type::u32);
  if (d.op.mode == kArrive && !d.op.low_16) return d.fail("the count is missing");
  if (predicates != 0) d.source(at, Type::pred);
  d.op.run = run_barrier;
  return true;
}

bool fence(Decoder& d) {
  for (const std::string_view word :
       {"sc", "acq_rel", "cta", "gl", "gpu", "sys", "cluster", "acquire", "release"}) {
    d.take(word);
  }
  d.op.run = run_nowhere;
  return true;
}

}  // namespace

void run_branch(Warp& warp, const Op& op) {
  const uint32_t stay = warp.lanes_here() & ~warp.active;
  const Warp::Group groups[2] = {{op.target, warp.active}, {warp.next_pc(), stay}};
  warp.part({groups, stay == 0 ? size_t{1} : size_t{2}}, op.reconverge);
}

void run_branch_table(Warp& warp, const Op& op) {
  const auto& table = warp.kernel->branch_tables[static_cast<size_t>(op.offset)];
  std::vector<Warp::Group> groups;
  for (uint32_t left = warp.active; left != 0;) {
    const auto lane = static_cast<unsigned>(std::countr_zero(left));
    const uint32_t index = warp.slot(op.src[0])[lane];
    if (index >= table.size()) return warp.fail(719, lane, "a branch beyond its table");
    uint32_t same = 0;
    each_lane(left, [&](unsigned other) {
      if (warp.slot(op.src[0])[other] == index) same |= 1u << other;
    });
    left &= ~same;
    groups.push_back({table[index], same});
  }
  const uint32_t stay = warp.lanes_here() & ~warp.active;
  if (stay != 0) groups.push_back({warp.next_pc(), stay});
  warp.part(groups, op.reconverge);
}

void run_exit(Warp& warp, const Op&) {
  warp.leave(warp.active);
}

bool decode_control(Decoder& d) {
  const std::string& name = d.in().opcode;
  d.op.op_class = OpClass::control;
  if (name == "bra") return branch(d);
  if (name == "brx") return branch_by_index(d);
  if (name == "ret") return leave(d, true);
  if (name == "exit") return leave(d, false);
  if (name == "call") return call(d);
  if (name == "bar" || name == "barrier") return barrier(d);
  if (name == "membar" || name == "fence") return fence(d);
  if (name == "trap" || name == "brkpt") {
    d.op.run = run_trap;
    return true;
  }
  if (name == "nanosleep") {
    d.take_type();
    d.source(0, Type::u32);
    d.op.run = run_nowhere;
    return true;
  }
  return false;
}

}  // namespace sqf

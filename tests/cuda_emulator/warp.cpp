#include "tests/cuda_emulator/warp.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>

#include "tests/cuda_emulator/block.hpp"
#include "tests/cuda_emulator/flow.hpp"
#include "tests/cuda_emulator/lanes.hpp"

namespace sqf {
namespace {

uint64_t special_value(const Block& block, const Warp& warp, Special special, unsigned lane) {
  const Extent thread = block.thread_of(warp.index, lane);
  const LaunchShape& shape = block.shape;
  const auto threads = static_cast<uint32_t>(shape.block.count());
  const uint32_t bit = 1u << lane;
  switch (special) {
    case Special::tid_x:
      return thread.x;
    case Special::tid_y:
      return thread.y;
    case Special::tid_z:
      return thread.z;
    case Special::ntid_x:
      return shape.block.x;
    case Special::ntid_y:
      return shape.block.y;
    case Special::ntid_z:
      return shape.block.z;
    case Special::ctaid_x:
      return block.place.x;
    case Special::ctaid_y:
      return block.place.y;
    case Special::ctaid_z:
      return block.place.z;
    case Special::nctaid_x:
      return shape.grid.x;
    case Special::nctaid_y:
      return shape.grid.y;
    case Special::nctaid_z:
      return shape.grid.z;
    case Special::laneid:
      return lane;
    case Special::warpid:
      return warp.index;
    case Special::nwarpid:
      return (threads + 31) / 32;
    case Special::smid:
      return block.place.x % shape.multiprocessors;
    case Special::nsmid:
      return shape.multiprocessors;
    case Special::gridid:
      return shape.grid_id;
    case Special::lanemask_eq:
      return bit;
    case Special::lanemask_le:
      return bit | (bit - 1);
    case Special::lanemask_lt:
      return bit - 1;
    case Special::lanemask_ge:
      return ~(bit - 1);
    case Special::lanemask_gt:
      return ~(bit | (bit - 1));
    case Special::dynamic_smem_size:
      return shape.dynamic_shared_bytes;
    case Special::total_smem_size:
      return shape.dynamic_shared_bytes + static_cast<uint64_t>(block.kernel.static_shared_bytes);
    default:
      return 0;
  }
}

}  // namespace

void Warp::start(Block& of_block, const Kernel& of_kernel, unsigned number, unsigned lanes) {
  block = &of_block;
  kernel = &of_kernel;
  index = number;
  live = lanes >= 32 ? 0xffffffff : (1u << lanes) - 1;
  carry = 0;
  state = State::ready;
  executed = 0;
  held_ = 0;
  postponed_ = false;
  frames_.assign(1, {0, kNowhere, live});
  copies.assign(32, {});
  local.resize(static_cast<size_t>(kernel->local_bytes) * 32);
  local_defined.assign(static_cast<size_t>(kernel->local_bytes) * 32, 0);
  defined_.assign(kernel->slots, 0);
  defined_[0] = 0xffffffff;
  if (filled_for_ != kernel) {
    file_.assign(static_cast<size_t>(kernel->slots) * 32, 0);
    filled_for_ = kernel;
    fill_constants(*kernel);
  }
  for (const Constant& constant : kernel->constants) defined_[constant.slot] = 0xffffffff;
  fill_specials(*kernel);
}

void Warp::fill_constants(const Kernel& of_kernel) {
  for (const Constant& constant : of_kernel.constants) {
    for (unsigned lane = 0; lane < 32; lane++) {
      if (constant.bytes == 8) {
        put<uint64_t>(slot(constant.slot), lane, constant.bits);
      } else {
        put<uint32_t>(slot(constant.slot), lane, static_cast<uint32_t>(constant.bits));
      }
    }
  }
}

void Warp::fill_specials(const Kernel& of_kernel) {
  for (const SpecialPlace& place : of_kernel.specials) {
    defined_[place.slot] = 0xffffffff;
    for (unsigned lane = 0; lane < 32; lane++) {
      const uint64_t value = special_value(*block, *this, place.special, lane);
      if (place.special == Special::gridid) {
        put<uint64_t>(slot(place.slot), lane, value);
      } else {
        put<uint32_t>(slot(place.slot), lane, static_cast<uint32_t>(value));
      }
    }
  }
}

bool Warp::failed() const {
  return block->fault.code != 0;
}

void Warp::fail(int code, unsigned lane, const std::string& what) {
  block->fail(code, this, lane, what);
}

/// The frame's lanes part into groups, which meet at `reconverge`. A group that goes to the end
/// ends at once: it shall not be waited for at a barrier.
void Warp::part(std::span<const Group> groups, uint32_t reconverge) {
  const Frame top = frames_.back();
  if (groups.size() == 1) {
    frames_.back().pc = groups[0].pc;
    return;
  }
  block->counters.divergent_branches++;
  if (reconverge == kNowhere) reconverge = top.reconverge;
  if (reconverge == top.reconverge) {
    frames_.pop_back();
  } else {
    frames_.back().pc = reconverge;
  }
  uint32_t ended = 0;
  for (const Group& group : groups) {
    if (ends_at(group.pc)) {
      ended |= group.mask;
    } else if (group.pc != reconverge) {
      frames_.push_back({group.pc, reconverge, group.mask});
    }
  }
  if (ended != 0) leave(ended);
}

bool Warp::ends_at(uint32_t pc) const {
  return kernel->ops[pc].run == run_exit && !kernel->ops[pc].guarded;
}

void Warp::leave(uint32_t mask) {
  live &= ~mask;
  for (Frame& frame : frames_) frame.mask &= ~mask;
  while (!frames_.empty() && frames_.back().mask == 0) frames_.pop_back();
  if (frames_.empty()) state = State::done;
}

bool Warp::postpone() {
  Frame& top = frames_.back();
  held_ |= top.mask;
  uint32_t above = top.mask;
  for (size_t i = frames_.size() - 1; i-- > 0;) {
    const Frame frame = frames_[i];
    const bool can_run = frame.mask != 0 && (frame.mask & above) == 0 && (frame.mask & ~held_) != 0;
    above |= frame.mask;
    if (!can_run) continue;
    top.pc--;
    frames_.erase(frames_.begin() + static_cast<ptrdiff_t>(i));
    frames_.push_back(frame);
    postponed_ = true;
    return true;
  }
  return false;
}

bool Warp::defined_sources(const Op& op) {
  if (op.undefined != Undefined::refused) return true;
  for (unsigned i = 0; i < op.src_count; i++) {
    const uint32_t missing = active & ~defined_[op.src[i]];
    if (missing == 0) continue;
    fail(719, static_cast<unsigned>(std::countr_zero(missing)),
         "operand " + std::to_string(i + 1) +
             " of the sources is a register that was never written");
    return false;
  }
  return true;
}

void Warp::define_results(const Op& op) {
  if (op.undefined == Undefined::own) return;
  uint32_t given = active;
  if (op.undefined == Undefined::copied) {
    for (unsigned i = 0; i < op.src_count; i++) given &= defined_[op.src[i]];
  }
  for (unsigned i = 0; i < op.dst_count; i++) {
    uint32_t& out = defined_[op.dst[i]];
    out = (out & ~active) | given;
  }
  defined_[0] = 0xffffffff;
}

void Warp::run(int64_t budget) {
  while (budget > 0 && state == State::ready) {
    Frame& top = frames_.back();
    if (top.pc == top.reconverge || top.mask == 0) {
      if (top.mask != 0 && ends_at(top.pc)) {  // nobody waits for the others in order to end
        leave(top.mask);
        continue;
      }
      frames_.pop_back();
      if (frames_.empty()) state = State::done;
      continue;
    }
    const Op& op = kernel->ops[top.pc++];
    current = &op;
    active = top.mask;
    budget--;
    executed++;
    if (op.guarded) {
      const uint32_t missing = active & ~defined_[op.guard];
      if (missing != 0) {
        return fail(719, static_cast<unsigned>(std::countr_zero(missing)),
                    "the guard is a predicate that was never written");
      }
      const uint32_t guard = slot(op.guard)[0];
      active &= op.guard_negated ? ~guard : guard;
      if (active == 0) continue;
    }
    block->counters.operations[static_cast<size_t>(op.op_class)]++;
    if (!defined_sources(op)) return;
    op.run(*this, op);
    if (failed()) return;
    if (postponed_) {
      postponed_ = false;
      continue;
    }
    define_results(op);
  }
}

}  // namespace sqf

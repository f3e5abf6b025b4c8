#include <algorithm>
#include <cstring>

#include "tests/cuda_emulator/access.hpp"
#include "tests/cuda_emulator/block.hpp"
#include "tests/cuda_emulator/decoder.hpp"
#include "tests/cuda_emulator/lanes.hpp"

// cp.async, as late as the rules allow: the bytes reach shared memory when the issuing thread waits
// for their group. Until then every touch of them is reported.

namespace sqf {
namespace {

SharedMemory::Access access_for(const Warp& warp, unsigned lane) {
  return {warp.index, warp.index * 32 + lane, static_cast<uint32_t>(warp.executed), false};
}

bool issue(Warp& warp, const Op& op, unsigned lane, uint64_t to, uint64_t from) {
  const uint32_t size = op.count;
  uint32_t given = size;
  if (op.src_count > 2) given = get<uint32_t>(warp.slot(op.src[2]), lane);
  if (given > size) {
    warp.fail(719, lane, "a cp.async with a source of more bytes than it copies");
    return false;
  }
  PendingCopy copy{static_cast<uint32_t>(to), size, warp.copies[lane].open_group, {}};
  if (!check_shared(warp, lane, to, size, size)) return false;
  if (from % size != 0) {
    return global_problem(warp, lane, from, size, static_cast<int>(Problem::misaligned));
  }
  // A shorter source need not be a power of two long.
  for (uint32_t at = 0; at < given;) {
    const uint32_t part = given == size ? size : 1;
    const Problem problem = warp.block->view.read(from + at, part, copy.data + at);
    if (!global_problem(warp, lane, from + at, part, static_cast<int>(problem))) return false;
    at += part;
  }
  const std::string problem =
      warp.block->shared.begin_copy(access_for(warp, lane), copy.shared_address, size);
  if (!problem.empty()) {
    warp.fail(719, lane, problem);
    return false;
  }
  warp.copies[lane].pending.push_back(copy);
  return true;
}

/// src 0: the shared address, src 1: the global one, whose displacement is op.target and
/// op.reconverge.
void run_copy(Warp& warp, const Op& op) {
  const Addresses to = addresses_of(warp, op);
  Addresses from{};
  uint32_t reading = 0;
  const auto displacement = static_cast<int64_t>((uint64_t{op.reconverge} << 32) | op.target);
  each_lane(warp.active, [&](unsigned lane) {
    from.of[lane] = get<uint64_t>(warp.slot(op.src[1]), lane) + static_cast<uint64_t>(displacement);
    const bool empty = op.src_count > 2 && get<uint32_t>(warp.slot(op.src[2]), lane) == 0;
    if (!empty) reading |= 1u << lane;
  });
  if (reading != 0) count_global(warp, from, reading, op.count, false);
  count_shared(warp, to, warp.active, op.count);
  Traffic& traffic = warp.block->counters.copies;
  traffic.requests++;
  traffic.bytes += static_cast<uint64_t>(std::popcount(reading)) * op.count;
  traffic.sectors += sectors_of(from.of, reading, op.count);
  each_lane(warp.active, [&](unsigned lane) {
    if (!warp.failed()) issue(warp, op, lane, to.of[lane], from.of[lane]);
  });
}

void run_commit(Warp& warp, const Op&) {
  each_lane(warp.active, [&](unsigned lane) { warp.copies[lane].open_group++; });
}

/// op.offset groups may still be on their way; -1: not even what was not committed.
void run_wait(Warp& warp, const Op& op) {
  each_lane(warp.active, [&](unsigned lane) {
    LaneCopies& copies = warp.copies[lane];
    const int64_t below = op.offset < 0 ? INT64_MAX : int64_t{copies.open_group} - op.offset;
    const auto done = [&](const PendingCopy& copy) { return int64_t{copy.group} < below; };
    for (const PendingCopy& copy : copies.pending) {
      if (!done(copy)) continue;
      warp.block->shared.finish_copy(access_for(warp, lane), copy.shared_address, copy.bytes,
                                     copy.data);
    }
    std::erase_if(copies.pending, done);
  });
}

bool copy(Decoder& d) {
  const bool all_levels = d.take("ca");
  if (!all_levels && !d.take("cg")) return d.fail("one of .ca .cg is missing");
  if (!d.take("shared") && !d.take("shared::cta")) return d.fail(".shared is missing");
  if (!d.take("global")) return d.fail(".global is missing");
  const bool policy = d.take("L2::cache_hint");
  if (!d.take("L2::64B") && !d.take("L2::128B")) d.take("L2::256B");
  if (!d.need_operands(policy ? 4 : 3, policy ? 5 : 4)) return true;
  const int64_t size = d.operand(2).value;
  const bool allowed = size == 16 || (all_levels && (size == 4 || size == 8));
  if (d.operand(2).kind != PtxOperand::Kind::integer || !allowed) {
    return d.fail("a copy of another size");
  }
  d.address(1, Space::global);
  const int64_t displacement = d.op.offset;
  const uint32_t from = d.op.src[0];
  if (!d.op.wide_address) return d.fail("a global address of 32 bits");
  d.op.src_count = 0;
  d.address(0, Space::shared);
  d.op.src[d.op.src_count++] = from;
  d.op.target = static_cast<uint32_t>(displacement);
  d.op.reconverge = static_cast<uint32_t>(static_cast<uint64_t>(displacement) >> 32);
  const size_t last = d.operands() - (policy ? 1 : 0);
  if (last == 4) d.source(3, Type::b32);
  d.op.count = static_cast<uint8_t>(size);
  d.op.run = run_copy;
  return true;
}

}  // namespace

bool decode_copy(Decoder& d) {
  if (d.in().opcode != "cp") return false;
  if (!d.take("async")) return false;
  d.op.op_class = OpClass::copy;
  if (d.first() == "bulk" || d.first() == "mbarrier") {
    return d.fail("unknown instruction 'cp.async." + d.take_first() + "'");
  }
  if (d.take("commit_group")) {
    d.op.run = run_commit;
    return true;
  }
  if (d.take("wait_all")) {
    d.op.offset = -1;
    d.op.run = run_wait;
    return true;
  }
  if (d.take("wait_group")) {
    d.op.offset = d.operand(0).value;
    if (d.operand(0).kind != PtxOperand::Kind::integer) return d.fail("the count is no constant");
    d.op.run = run_wait;
    return true;
  }
  return copy(d);
}

}  // namespace sqf

#include <algorithm>
#include <array>
#include <map>

#include "tests/cuda_emulator/decoder.hpp"
#include "tests/cuda_emulator/lanes.hpp"

// What the lanes of a warp tell each other: shuffles, votes, matches, reductions. A member of the
// mask that lives and does not take part is reported: the hardware would wait for it, or worse.

namespace sqf {
namespace {

enum Shuffle : uint8_t { kUp, kDown, kButterfly, kIndex };
enum Vote : uint8_t { kAll, kAny, kUniform, kBallot };
enum Reduction : uint8_t { kSum, kLeast, kMost, kAnd, kOr, kXor };

/// Calls f with the members of each mask that lanes come with: halves of a warp may go their own
/// ways in one instruction. False where the operation was stopped or postponed.
template <class F>
bool each_group(Warp& warp, uint32_t slot, F f) {
  const uint32_t* masks = warp.slot(slot);
  std::array<uint32_t, 32> groups{};
  size_t count = 0;
  for (uint32_t left = warp.active; left != 0; left &= ~groups[count++]) {
    const auto first = static_cast<unsigned>(std::countr_zero(left));
    const uint32_t mask = masks[first];
    if (((mask >> first) & 1) == 0) {
      warp.fail(719, first, "the member mask leaves out a lane that runs");
      return false;
    }
    each_lane(left, [&](unsigned lane) {
      if (masks[lane] == mask) groups[count] |= 1u << lane;
    });
    if ((mask & warp.live) == groups[count]) continue;
    if (!warp.postpone()) {
      warp.fail(719, first, "the member mask names lanes that run elsewhere or have another mask");
    }
    return false;
  }
  warp.met();
  for (size_t i = 0; i < count; i++) f(groups[i]);
  return true;
}

void run_shuffle(Warp& warp, const Op& op) {
  if (!each_group(warp, op.src[3], [](uint32_t) {})) return;
  uint32_t before[32];
  std::copy_n(warp.slot(op.src[0]), 32, before);
  each_lane(warp.active, [&](unsigned lane) {
    const uint32_t b = get<uint32_t>(warp.slot(op.src[1]), lane) & 31;
    const uint32_t c = get<uint32_t>(warp.slot(op.src[2]), lane);
    const uint32_t clamp = c & 31, segment = (c >> 8) & 31;
    const uint32_t most = (lane & segment) | (clamp & ~segment), least = lane & segment;
    uint32_t from = lane;
    bool inside = false;
    switch (op.mode) {
      case kUp:
        from = lane - b;
        inside = static_cast<int32_t>(from) >= static_cast<int32_t>(most);
        break;
      case kDown:
        from = lane + b;
        inside = from <= most;
        break;
      case kButterfly:
        from = lane ^ b;
        inside = from <= most;
        break;
      default:
        from = least | (b & ~segment);
        inside = from <= most;
    }
    if (!inside) from = lane;
    if (((warp.active >> from) & 1) == 0 && !warp.failed()) {
      warp.fail(719, lane, "a shuffle from lane " + std::to_string(from) + ", which does not run");
    }
    put<uint32_t>(warp.slot(op.dst[0]), lane, before[from]);
    if (op.dst_count > 1) put<Bit>(warp.slot(op.dst[1]), lane, Bit{inside});
  });
}

bool shuffle(Decoder& d) {
  static constexpr std::string_view kModes[] = {"up", "down", "bfly", "idx"};
  if (!d.take("sync")) return d.fail(".sync is missing");
  const std::string mode = d.take_first();
  const auto found = std::find(std::begin(kModes), std::end(kModes), mode);
  if (found == std::end(kModes)) return d.fail("unknown modifier '." + mode + "'");
  d.op.mode = static_cast<uint8_t>(found - std::begin(kModes));
  d.simple(run_shuffle, d.take_type(), {Type::b32, Type::b32, Type::b32, Type::b32});
  if (d.operand(0).second >= 0) d.second_result(0);
  return true;
}

void run_vote(Warp& warp, const Op& op) {
  uint32_t votes = warp.slot(op.src[0])[0];
  if ((op.negated & 1) != 0) votes = ~votes;
  each_group(warp, op.src[1], [&](uint32_t members) {
    const uint32_t ballot = votes & members;
    const bool all = ballot == members, none = ballot == 0;
    const bool answer = op.mode == kAll ? all : op.mode == kAny ? !none : all || none;
    each_lane(members, [&](unsigned lane) {
      if (op.mode == kBallot) {
        put<uint32_t>(warp.slot(op.dst[0]), lane, ballot);
      } else {
        put<Bit>(warp.slot(op.dst[0]), lane, Bit{answer});
      }
    });
  });
}

bool vote(Decoder& d) {
  static constexpr std::string_view kModes[] = {"all", "any", "uni", "ballot"};
  if (!d.take("sync")) return d.fail(".sync is missing");
  const std::string mode = d.take_first();
  const auto found = std::find(std::begin(kModes), std::end(kModes), mode);
  if (found == std::end(kModes)) return d.fail("unknown modifier '." + mode + "'");
  d.op.mode = static_cast<uint8_t>(found - std::begin(kModes));
  return d.simple(run_vote, d.take_type(), {Type::pred, Type::b32});
}

/// op.relu: .all, every lane the same value.
template <class T>
void run_match(Warp& warp, const Op& op) {
  each_group(warp, op.src[1], [&](uint32_t members) {
    std::map<T, uint32_t> same;
    each_lane(members,
              [&](unsigned lane) { same[get<T>(warp.slot(op.src[0]), lane)] |= 1u << lane; });
    std::array<uint32_t, 32> answers{};
    each_lane(members,
              [&](unsigned lane) { answers[lane] = same[get<T>(warp.slot(op.src[0]), lane)]; });
    const bool alike = same.size() == 1;
    each_lane(members, [&](unsigned lane) {
      put<uint32_t>(warp.slot(op.dst[0]), lane, op.relu && !alike ? 0 : answers[lane]);
      if (op.dst_count > 1) put<Bit>(warp.slot(op.dst[1]), lane, Bit{alike});
    });
  });
}

bool match(Decoder& d) {
  d.op.relu = d.take("all");
  if (!d.op.relu && !d.take("any")) return d.fail("one of .any .all is missing");
  if (!d.take("sync")) return d.fail(".sync is missing");
  const Type type = d.take_type();
  if (type != Type::b32 && type != Type::b64) return d.refuse(type);
  d.simple(type == Type::b64 ? run_match<uint64_t> : run_match<uint32_t>, Type::b32,
           {type, Type::b32});
  if (d.operand(0).second >= 0) d.second_result(0);
  return true;
}

uint32_t reduced(const Op& op, uint32_t a, uint32_t b) {
  const bool less =
      op.type == Type::s32 ? static_cast<int32_t>(a) < static_cast<int32_t>(b) : a < b;
  switch (op.mode) {
    case kSum:
      return a + b;
    case kLeast:
      return less ? a : b;
    case kMost:
      return less ? b : a;
    case kAnd:
      return a & b;
    case kOr:
      return a | b;
    default:
      return a ^ b;
  }
}

void run_reduction(Warp& warp, const Op& op) {
  each_group(warp, op.src[1], [&](uint32_t members) {
    const auto first = static_cast<unsigned>(std::countr_zero(members));
    uint32_t value = warp.slot(op.src[0])[first];
    each_lane(members & ~(1u << first),
              [&](unsigned lane) { value = reduced(op, value, warp.slot(op.src[0])[lane]); });
    each_lane(members, [&](unsigned lane) { put<uint32_t>(warp.slot(op.dst[0]), lane, value); });
  });
}

bool reduction(Decoder& d) {
  static constexpr std::string_view kModes[] = {"add", "min", "max", "and", "or", "xor"};
  if (!d.take("sync")) return d.fail(".sync is missing");
  const std::string mode = d.take_first();
  const auto found = std::find(std::begin(kModes), std::end(kModes), mode);
  if (found == std::end(kModes)) return d.fail("unknown modifier '." + mode + "'");
  d.op.mode = static_cast<uint8_t>(found - std::begin(kModes));
  d.op.type = d.take_type();
  if (d.op.type != Type::u32 && d.op.type != Type::s32 && d.op.type != Type::b32) {
    return d.refuse(d.op.type);
  }
  return d.simple(run_reduction, d.op.type, {d.op.type, Type::b32});
}

void run_active(Warp& warp, const Op& op) {
  each_lane(warp.active,
            [&](unsigned lane) { put<uint32_t>(warp.slot(op.dst[0]), lane, warp.active); });
}

/// d|p: the leader, and whether the lane is it.
void run_elect(Warp& warp, const Op& op) {
  each_group(warp, op.src[0], [&](uint32_t members) {
    const auto leader = static_cast<unsigned>(std::countr_zero(members));
    each_lane(members, [&](unsigned lane) {
      put<uint32_t>(warp.slot(op.dst[0]), lane, leader);
      put<Bit>(warp.slot(op.dst[1]), lane, Bit{lane == leader});
    });
  });
}

bool elect(Decoder& d) {
  if (!d.take("sync")) return d.fail(".sync is missing");
  d.simple(run_elect, Type::b32, {Type::b32});
  d.second_result(0);
  return true;
}

}  // namespace

bool decode_shuffle(Decoder& d) {
  const std::string& name = d.in().opcode;
  d.op.op_class = OpClass::shuffle;
  if (name == "shfl") return shuffle(d);
  if (name == "vote") return vote(d);
  if (name == "match") return match(d);
  if (name == "redux") return reduction(d);
  if (name == "activemask") return d.simple(run_active, d.take_type(), {});
  if (name == "elect") return elect(d);
  return false;
}

}  // namespace sqf

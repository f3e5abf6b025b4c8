#include <algorithm>

#include "tests/cuda_emulator/decoder.hpp"
#include "tests/cuda_emulator/lanes.hpp"

// setp, set, selp, slct.

namespace sqf {
namespace {

enum Comparison : uint8_t {
  kEq,
  kNe,
  kLt,
  kLe,
  kGt,
  kGe,
  kEqu,
  kNeu,
  kLtu,
  kLeu,
  kGtu,
  kGeu,
  kNum,
  kNan
};
constexpr std::string_view kComparisons[] = {"eq",  "ne",  "lt",  "le",  "gt",  "ge",  "equ",
                                             "neu", "ltu", "leu", "gtu", "geu", "num", "nan"};
constexpr std::string_view kUnsigned[] = {"lo", "ls", "hi", "hs"};
enum Logic : uint8_t { kAlone, kAnd, kOr, kXor };  // op.logic

template <class T>
bool compare(uint8_t mode, T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    const bool unordered = std::isnan(a) || std::isnan(b);
    if (mode == kNum) return !unordered;
    if (mode == kNan) return unordered;
    if (unordered) return mode >= kEqu;
    if (mode >= kEqu) mode = static_cast<uint8_t>(mode - kEqu);
  }
  switch (mode) {
    case kEq:
      return a == b;
    case kNe:
      return a != b;
    case kLt:
      return a < b;
    case kLe:
      return a <= b;
    case kGt:
      return a > b;
    default:
      return a >= b;
  }
}

bool joined(const Op& op, bool value, bool other) {
  switch (op.logic) {
    case kAnd:
      return value && other;
    case kOr:
      return value || other;
    case kXor:
      return value != other;
    default:
      return value;
  }
}

float number(const Op& op, float value) {
  return op.flush ? flush(value) : value;
}
double half(const Op& op, uint32_t bits) {
  const bool wide_range = op.from == Type::bf16 || op.from == Type::bf16x2;
  const double value = wide_range ? from_bf16(bits & 0xffff) : from_f16(bits);
  const double least = wide_range ? 0x1p-126 : 0x1p-14;
  return op.flush && std::fabs(value) < least ? std::copysign(0.0, value) : value;
}

/// Bit 0 the comparison, bit 1 that of the upper halves of a pair.
template <class T>
struct Compared {
  uint32_t operator()(const Op& op, T a, T b) const {
    if constexpr (std::is_same_v<T, float>) {
      return compare(op.mode, number(op, a), number(op, b));
    } else {
      return compare(op.mode, a, b);
    }
  }
};
struct ComparedHalves {
  uint32_t operator()(const Op& op, uint32_t a, uint32_t b) const {
    const uint32_t low = compare(op.mode, half(op, a & 0xffff), half(op, b & 0xffff));
    return low | static_cast<uint32_t>(compare(op.mode, half(op, a >> 16), half(op, b >> 16))) << 1;
  }
};

/// setp: dst 0 and dst 1, the comparison and its opposite (of a pair: of the upper half), each
/// joined with source 2.
template <class T, class C>
void run_setp(Warp& warp, const Op& op) {
  const bool pair = op.from == Type::f16x2 || op.from == Type::bf16x2;
  each_lane(warp.active, [&](unsigned lane) {
    const uint32_t bits =
        C{}(op, get<T>(warp.slot(op.src[0]), lane), get<T>(warp.slot(op.src[1]), lane));
    bool other = false;
    if (op.logic != kAlone) {
      other = get<Bit>(warp.slot(op.src[2]), lane).value != (((op.negated >> 2) & 1) != 0);
    }
    const bool first = (bits & 1) != 0, second = pair ? (bits & 2) != 0 : !first;
    put<Bit>(warp.slot(op.dst[0]), lane, Bit{joined(op, first, other)});
    if (op.dst_count > 1) put<Bit>(warp.slot(op.dst[1]), lane, Bit{joined(op, second, other)});
  });
}

uint32_t set_value(const Op& op, uint32_t bits) {
  const bool low = (bits & 1) != 0, high = (bits & 2) != 0;
  switch (op.type) {
    case Type::f32:
      return low ? 0x3f800000 : 0;
    case Type::f16:
      return low ? 0x3c00 : 0;
    case Type::bf16:
      return low ? 0x3f80 : 0;
    case Type::f16x2:
      return (low ? 0x3c00u : 0u) | (high ? 0x3c000000u : 0u);
    case Type::bf16x2:
      return (low ? 0x3f80u : 0u) | (high ? 0x3f800000u : 0u);
    default:
      break;
  }
  if (op.from == Type::f16x2 || op.from == Type::bf16x2) {
    return (low ? 0xffffu : 0u) | (high ? 0xffff0000u : 0u);
  }
  return low ? 0xffffffff : 0;
}

template <class T, class C>
void run_set(Warp& warp, const Op& op) {
  const bool pair = op.from == Type::f16x2 || op.from == Type::bf16x2;
  each_lane(warp.active, [&](unsigned lane) {
    uint32_t bits = C{}(op, get<T>(warp.slot(op.src[0]), lane), get<T>(warp.slot(op.src[1]), lane));
    if (op.logic != kAlone) {
      const bool other =
          get<Bit>(warp.slot(op.src[2]), lane).value != (((op.negated >> 2) & 1) != 0);
      bits = static_cast<uint32_t>(joined(op, (bits & 1) != 0, other)) |
             (pair ? static_cast<uint32_t>(joined(op, (bits & 2) != 0, other)) << 1 : 0);
    }
    put<uint32_t>(warp.slot(op.dst[0]), lane, set_value(op, bits));
  });
}

struct Runs {
  Run setp, set;
};
template <class T, class C = Compared<T>>
constexpr Runs runs_of() {
  return {run_setp<T, C>, run_set<T, C>};
}

Runs runs_for(Type type) {
  switch (type) {
    case Type::b16:
    case Type::u16:
      return runs_of<uint16_t>();
    case Type::s16:
      return runs_of<int16_t>();
    case Type::b32:
    case Type::u32:
      return runs_of<uint32_t>();
    case Type::s32:
      return runs_of<int32_t>();
    case Type::b64:
    case Type::u64:
      return runs_of<uint64_t>();
    case Type::s64:
      return runs_of<int64_t>();
    case Type::f32:
      return runs_of<float>();
    case Type::f64:
      return runs_of<double>();
    case Type::f16:
    case Type::bf16:
    case Type::f16x2:
    case Type::bf16x2:
      return runs_of<uint32_t, ComparedHalves>();
    default:
      return {nullptr, nullptr};
  }
}

bool take_comparison(Decoder& d) {
  const std::string name = d.take_first();
  const auto found = std::find(std::begin(kComparisons), std::end(kComparisons), name);
  if (found != std::end(kComparisons)) {
    d.op.mode = static_cast<uint8_t>(found - std::begin(kComparisons));
  } else if (const auto low = std::find(std::begin(kUnsigned), std::end(kUnsigned), name);
             low != std::end(kUnsigned)) {
    d.op.mode = static_cast<uint8_t>(kLt + (low - std::begin(kUnsigned)));
  } else {
    d.fail("unknown modifier '." + name + "'");
    return false;
  }
  if (d.take("and")) d.op.logic = kAnd;
  if (d.take("or")) d.op.logic = kOr;
  if (d.take("xor")) d.op.logic = kXor;
  d.op.flush = d.take("ftz");
  return true;
}

bool compares(Decoder& d, bool predicate) {
  if (!take_comparison(d)) return true;
  d.op.type = predicate ? Type::pred : d.take_type();
  d.op.from = d.take_type();
  const Runs runs = runs_for(d.op.from);
  if (runs.set == nullptr) return d.refuse(d.op.from);
  if (d.op.mode >= kEqu && is_integer(d.op.from)) return d.fail("an unordered integer comparison");
  if (!predicate && bytes_of(d.op.type) == 8) return d.refuse(d.op.type);
  const size_t sources = d.op.logic == kAlone ? 2 : 3;
  if (!d.need_operands(sources + 1, sources + 1)) return true;
  d.op.run = predicate ? runs.setp : runs.set;
  d.result(0, d.op.type);
  if (d.operand(0).second >= 0) d.second_result(0);
  d.source(1, d.op.from);
  d.source(2, d.op.from);
  if (sources == 3) d.source(3, Type::pred);
  return true;
}

/// An undefined value that is not chosen is no mistake.
template <class T, bool kPredicate>
void run_select(Warp& warp, const Op& op) {
  uint32_t second = 0;
  each_lane(warp.active, [&](unsigned lane) {
    bool first = false;
    if constexpr (kPredicate) {
      first = get<Bit>(warp.slot(op.src[2]), lane).value != (((op.negated >> 2) & 1) != 0);
    } else if (op.from == Type::s32) {
      first = get<int32_t>(warp.slot(op.src[2]), lane) >= 0;
    } else {
      first = number(op, get<float>(warp.slot(op.src[2]), lane)) >= 0;
    }
    if (!first) second |= 1u << lane;
    put<T>(warp.slot(op.dst[0]), lane, get<T>(warp.slot(op.src[first ? 0 : 1]), lane));
  });
  if ((warp.defined(op.src[2]) & warp.active) != warp.active) {
    const uint32_t missing = warp.active & ~warp.defined(op.src[2]);
    return warp.fail(719, static_cast<unsigned>(std::countr_zero(missing)),
                     "a choice by a register that was never written");
  }
  uint32_t& out = warp.defined(op.dst[0]);
  const uint32_t chosen = (warp.defined(op.src[0]) & ~second) | (warp.defined(op.src[1]) & second);
  out = (out & ~warp.active) | (chosen & warp.active);
}

bool select(Decoder& d, bool predicate) {
  d.op.flush = d.take("ftz");
  const Type type = d.take_type();
  d.op.undefined = Undefined::own;
  d.op.from = predicate ? Type::pred : d.take_type();
  if (!predicate && d.op.from != Type::s32 && d.op.from != Type::f32) return d.refuse(d.op.from);
  const bool wide = bytes_of(type) == 8;
  const Run run = wide ? (predicate ? run_select<uint64_t, true> : run_select<uint64_t, false>)
                       : (predicate ? run_select<uint32_t, true> : run_select<uint32_t, false>);
  return d.simple(run, type, {type, type, d.op.from});
}

}  // namespace

bool decode_compare(Decoder& d) {
  const std::string& name = d.in().opcode;
  d.op.op_class = OpClass::compare;
  if (name == "setp") return compares(d, true);
  if (name == "set") return compares(d, false);
  if (name == "selp") return select(d, true);
  if (name == "slct") return select(d, false);
  return false;
}

}  // namespace sqf

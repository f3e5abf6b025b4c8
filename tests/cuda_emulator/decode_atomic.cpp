#include <algorithm>
#include <cstring>

#include "tests/cuda_emulator/access.hpp"
#include "tests/cuda_emulator/block.hpp"
#include "tests/cuda_emulator/decoder.hpp"
#include "tests/cuda_emulator/lanes.hpp"

// atom and red on global and shared memory, lane after lane.

namespace sqf {
namespace {

enum Atomic : uint8_t { kAdd, kMin, kMax, kAnd, kOr, kXor, kExch, kCas, kInc, kDec };
constexpr std::string_view kNames[] = {"add", "min",  "max", "and", "or",
                                       "xor", "exch", "cas", "inc", "dec"};

double half_sum(Type type, uint32_t a, uint32_t b) {
  const bool f16 = type == Type::f16 || type == Type::f16x2;
  return f16 ? from_f16(a) + from_f16(b) : add_to_odd(from_bf16(a & 0xffff), from_bf16(b & 0xffff));
}

uint32_t half_bits(Type type, double value) {
  return type == Type::f16 || type == Type::f16x2 ? to_f16(value) : to_bf16(value);
}

uint64_t sum_of(Type type, uint64_t a, uint64_t b) {
  const auto low = static_cast<uint32_t>(a), low_b = static_cast<uint32_t>(b);
  switch (type) {
    case Type::f32:
      return bits_of(device_nan(float_of(low) + float_of(low_b)));
    case Type::f64:
      return std::bit_cast<uint64_t>(std::bit_cast<double>(a) + std::bit_cast<double>(b));
    case Type::f16:
    case Type::bf16:
      return half_bits(type, half_sum(type, low, low_b));
    case Type::f16x2:
    case Type::bf16x2:
      return half_bits(type, half_sum(type, low & 0xffff, low_b & 0xffff)) |
             half_bits(type, half_sum(type, low >> 16, low_b >> 16)) << 16;
    default:
      return a + b;
  }
}

bool less(Type type, uint64_t a, uint64_t b) {
  if (type == Type::s32) return static_cast<int32_t>(a) < static_cast<int32_t>(b);
  if (type == Type::s64) return static_cast<int64_t>(a) < static_cast<int64_t>(b);
  return a < b;
}

uint64_t combined(const Op& op, uint64_t old, uint64_t b, uint64_t c) {
  switch (op.mode) {
    case kAdd:
      return sum_of(op.type, old, b);
    case kMin:
      return less(op.type, b, old) ? b : old;
    case kMax:
      return less(op.type, old, b) ? b : old;
    case kAnd:
      return old & b;
    case kOr:
      return old | b;
    case kXor:
      return old ^ b;
    case kCas:
      return old == b ? c : old;
    case kInc:
      return old >= b ? 0 : old + 1;
    case kDec:
      return old == 0 || old > b ? b : old - 1;
    default:
      return b;
  }
}

bool exchange(Warp& warp, const Op& op, unsigned lane, Place place, uint64_t b, uint64_t c,
              uint64_t& old) {
  const auto bytes = static_cast<uint32_t>(bytes_of(op.type));
  Block& block = *warp.block;
  if (place.space == Space::shared) {
    if (!check_shared(warp, lane, place.address, bytes, bytes)) return false;
    const auto at = static_cast<uint32_t>(place.address);
    SharedMemory::Access access{warp.index, warp.index * 32 + lane,
                                static_cast<uint32_t>(warp.executed), true};
    const std::string problem = block.shared.update(access, at, bytes, &old, [&](void* value) {
      const uint64_t fresh = combined(op, old, b, c);
      std::memcpy(value, &fresh, bytes);
    });
    if (!problem.empty()) warp.fail(719, lane, problem);
    return problem.empty();
  }
  if (place.space != Space::global) {
    warp.fail(700, lane, "an atomic operation on local or parameter memory");
    return false;
  }
  const std::lock_guard lock(block.memory.atomics);
  Problem problem = Problem::none;
  uint8_t* const at = block.view.place(place.address, bytes, problem);
  if (at == nullptr) {
    return global_problem(warp, lane, place.address, bytes, static_cast<int>(problem));
  }
  std::memcpy(&old, at, bytes);
  const uint64_t fresh = combined(op, old, b, c);
  std::memcpy(at, &fresh, bytes);
  return true;
}

template <class T>
void run_atomic(Warp& warp, const Op& op) {
  const Addresses addresses = addresses_of(warp, op);
  const auto bytes = static_cast<uint32_t>(bytes_of(op.type));
  count_request(warp, op, addresses, bytes, true);
  const uint64_t ones = bytes == 8 ? ~uint64_t{0} : (uint64_t{1} << (8 * bytes)) - 1;
  each_lane(warp.active, [&](unsigned lane) {
    if (warp.failed()) return;
    const uint64_t b = get<T>(warp.slot(op.src[1]), lane) & ones;
    const uint64_t c = op.mode == kCas ? get<T>(warp.slot(op.src[2]), lane) & ones : 0;
    uint64_t old = 0;
    if (!exchange(warp, op, lane, place_of(op.space, addresses.of[lane]), b, c, old)) return;
    if (op.dst_count != 0 && op.dst[0] != 0) {
      put<T>(warp.slot(op.dst[0]), lane, static_cast<T>(old));
    }
  });
}

bool allowed(uint8_t mode, Type type) {
  if (mode == kAdd) {
    return type == Type::u32 || type == Type::s32 || type == Type::u64 || is_float(type) ||
           type == Type::f16x2 || type == Type::bf16x2;
  }
  if (mode == kInc || mode == kDec) return type == Type::u32;
  if (mode == kMin || mode == kMax) return is_integer(type) && bytes_of(type) >= 4;
  return type == Type::b32 || type == Type::b64 || (mode == kCas && type == Type::b16);
}

}  // namespace

bool decode_atomic(Decoder& d) {
  const std::string& name = d.in().opcode;
  if (name != "atom" && name != "red") return false;
  const bool returns = name == "atom";
  d.op.op_class = OpClass::atomic;
  for (const std::string_view word :
       {"relaxed", "acquire", "release", "acq_rel", "cta", "cluster", "gpu", "sys", "noftz"}) {
    d.take(word);
  }
  const Space space = d.take("global")                            ? Space::global
                      : d.take("shared") || d.take("shared::cta") ? Space::shared
                                                                  : Space::generic;
  const std::string operation = d.take_first();
  const auto found = std::find(std::begin(kNames), std::end(kNames), operation);
  if (found == std::end(kNames)) return d.fail("unknown modifier '." + operation + "'");
  d.op.mode = static_cast<uint8_t>(found - std::begin(kNames));
  d.op.type = d.take_type();
  if (!allowed(d.op.mode, d.op.type)) return d.refuse(d.op.type);
  const size_t values = d.op.mode == kCas ? 2 : 1, first = returns ? 1 : 0;
  if (!d.need_operands(first + 1 + values, first + 1 + values)) return true;
  if (returns) d.result(0, d.op.type);
  d.address(first, space);
  for (size_t i = 0; i < values; i++) d.source(first + 1 + i, d.op.type);
  d.op.run = bytes_of(d.op.type) == 8 ? run_atomic<uint64_t> : run_atomic<uint32_t>;
  return true;
}

}  // namespace sqf

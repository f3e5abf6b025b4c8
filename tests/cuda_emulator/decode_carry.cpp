#include <algorithm>

#include "tests/cuda_emulator/decoder.hpp"
#include "tests/cuda_emulator/lanes.hpp"
#include "tests/cuda_emulator/wide.hpp"

// Integer arithmetic in words of a longer number: .cc gives the carry, addc, subc and madc take it.

namespace sqf {
namespace {

/// a * b * product + c + carry, or a - b - carry. op.mode: 1 low product, 2 high product, 0 sum, 3
/// difference.
template <class T>
void run_carry(Warp& warp, const Op& op) {
  const uint32_t before = warp.carry;
  uint32_t after = before;
  each_lane(warp.active, [&](unsigned lane) {
    const T a = get<T>(warp.slot(op.src[0]), lane), b = get<T>(warp.slot(op.src[1]), lane);
    const UnsignedWide in = op.low_16 ? (before >> lane) & 1 : 0;  // low_16: takes the carry
    UnsignedWide sum = 0;
    bool out = false;
    if (op.mode == 3) {
      sum = static_cast<Unsigned<T>>(a);
      const UnsignedWide less = static_cast<Unsigned<T>>(b) + in;
      out = sum < less;
      sum -= less;
    } else {
      UnsignedWide left = static_cast<Unsigned<T>>(a), right = static_cast<Unsigned<T>>(b);
      if (op.mode != 0) {
        const UnsignedWide product = widened(a) * widened(b);
        left = static_cast<Unsigned<T>>(op.mode == 1 ? product : product >> (8 * sizeof(T)));
        right = static_cast<Unsigned<T>>(get<T>(warp.slot(op.src[2]), lane));
      }
      sum = left + right + in;
      out = ((sum >> (8 * sizeof(T))) & 1) != 0;
    }
    put<T>(warp.slot(op.dst[0]), lane, wrapped<T>(sum));
    after = (after & ~(1u << lane)) | (static_cast<uint32_t>(out) << lane);
  });
  if (op.saturate) warp.carry = after;  // saturate: gives the carry
}

bool carry(Decoder& d, uint8_t mode, bool takes) {
  const bool gives = d.take("cc");
  const Type type = d.take_type();
  const Run run = type == Type::u32 || type == Type::b32   ? run_carry<uint32_t>
                  : type == Type::s32                      ? run_carry<int32_t>
                  : type == Type::u64 || type == Type::b64 ? run_carry<uint64_t>
                  : type == Type::s64                      ? run_carry<int64_t>
                                                           : nullptr;
  if (run == nullptr) return d.refuse(type);
  d.op.mode = mode;
  d.op.low_16 = takes;
  d.op.saturate = gives;
  const bool three = mode == 1 || mode == 2;
  return three ? d.simple(run, type, {type, type, type}) : d.simple(run, type, {type, type});
}

bool has_carry(const Decoder& d) {
  const auto& list = d.in().modifiers;
  return std::find(list.begin(), list.end(), "cc") != list.end();
}

}  // namespace

bool decode_carry(Decoder& d) {
  const std::string& name = d.in().opcode;
  const bool takes = name == "addc" || name == "subc" || name == "madc";
  if (!takes && !has_carry(d)) return false;
  d.op.op_class = OpClass::integer;
  if (name == "add" || name == "addc") return carry(d, 0, takes);
  if (name == "sub" || name == "subc") return carry(d, 3, takes);
  if (name != "mad" && name != "madc") return false;
  const bool high = d.take("hi");
  if (!high && !d.take("lo")) return d.fail("one of .lo .hi is missing");
  return carry(d, high ? 2 : 1, takes);
}

}  // namespace sqf

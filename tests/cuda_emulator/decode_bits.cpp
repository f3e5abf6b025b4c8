#include <algorithm>

#include "tests/cuda_emulator/decoder.hpp"
#include "tests/cuda_emulator/lanes.hpp"

// Logic, shifts, and what looks at single bits or bytes.

namespace sqf {
namespace {

template <class T>
struct And {
  T operator()(const Op&, T a, T b) const { return static_cast<T>(a & b); }
};
template <class T>
struct Or {
  T operator()(const Op&, T a, T b) const { return static_cast<T>(a | b); }
};
template <class T>
struct ExclusiveOr {
  T operator()(const Op&, T a, T b) const { return static_cast<T>(a ^ b); }
};

bool of(const Op& op, unsigned source, Bit bit) {
  return bit.value != (((op.negated >> source) & 1) != 0);
}

template <template <class> class F>
bool logic(Decoder& d) {
  const Type type = d.take_type();
  switch (type) {
    case Type::pred:
      return d.simple(lanes<Bit(Bit, Bit)>([](const Op& op, Bit a, Bit b) {
                        return Bit{F<uint8_t>{}(op, of(op, 0, a), of(op, 1, b)) != 0};
                      }),
                      type, {type, type});
    case Type::b16:
      return d.simple(lanes<uint16_t(uint16_t, uint16_t)>(F<uint16_t>{}), type, {type, type});
    case Type::b32:
      return d.simple(lanes<uint32_t(uint32_t, uint32_t)>(F<uint32_t>{}), type, {type, type});
    case Type::b64:
      return d.simple(lanes<uint64_t(uint64_t, uint64_t)>(F<uint64_t>{}), type, {type, type});
    default:
      return d.refuse(type);
  }
}

template <class T>
Run inversion(bool logical) {
  if (logical) {
    return lanes<T(T)>([](const Op&, T a) { return static_cast<T>(a == 0 ? 1 : 0); });
  }
  return lanes<T(T)>([](const Op&, T a) { return static_cast<T>(~a); });
}

bool invert(Decoder& d, bool logical) {
  const Type type = d.take_type();
  if (type == Type::pred && !logical) {
    return d.simple(lanes<Bit(Bit)>([](const Op& op, Bit a) { return Bit{!of(op, 0, a)}; }), type,
                    {type});
  }
  const Run run = type == Type::b16   ? inversion<uint16_t>(logical)
                  : type == Type::b32 ? inversion<uint32_t>(logical)
                  : type == Type::b64 ? inversion<uint64_t>(logical)
                                      : nullptr;
  return run == nullptr ? d.refuse(type) : d.simple(run, type, {type});
}

template <class T>
Run shift_run(bool left) {
  constexpr uint32_t kBits = 8 * sizeof(T);
  if (left) {
    return lanes<T(T, uint32_t)>([](const Op&, T a, uint32_t by) {
      return by >= kBits ? T{0} : static_cast<T>(static_cast<uint64_t>(a) << by);
    });
  }
  return lanes<T(T, uint32_t)>([](const Op&, T a, uint32_t by) {
    if constexpr (std::is_signed_v<T>) {
      return static_cast<T>(a >> std::min(by, kBits - 1));
    } else {
      return by >= kBits ? T{0} : static_cast<T>(a >> by);
    }
  });
}

bool shift(Decoder& d, bool left) {
  const Type type = d.take_type();
  const Run run = type == Type::b16 || type == Type::u16   ? shift_run<uint16_t>(left)
                  : type == Type::b32 || type == Type::u32 ? shift_run<uint32_t>(left)
                  : type == Type::b64 || type == Type::u64 ? shift_run<uint64_t>(left)
                  : type == Type::s16                      ? shift_run<int16_t>(left)
                  : type == Type::s32                      ? shift_run<int32_t>(left)
                  : type == Type::s64                      ? shift_run<int64_t>(left)
                                                           : nullptr;
  return run == nullptr ? d.refuse(type) : d.simple(run, type, {type, Type::u32});
}

/// shf: the pair (b, a) shifted, its high word (left) or low word (right) kept.
bool funnel_shift(Decoder& d) {
  const bool left = d.take("l");
  if (!left && !d.take("r")) return d.fail("one of .l .r is missing");
  const bool wrap = d.take("wrap");
  if (!wrap && !d.take("clamp")) return d.fail("one of .wrap .clamp is missing");
  const Type type = d.take_type();
  if (type != Type::b32) return d.refuse(type);
  d.op.mode = static_cast<uint8_t>((left ? 1 : 0) | (wrap ? 2 : 0));
  return d.simple(
      lanes<uint32_t(uint32_t, uint32_t, uint32_t)>(
          [](const Op& op, uint32_t a, uint32_t b, uint32_t c) {
            const uint32_t by = (op.mode & 2) != 0 ? c & 31 : std::min(c, 32u);
            const uint64_t pair = (uint64_t{b} << 32) | a;
            return static_cast<uint32_t>((op.mode & 1) != 0 ? (pair << by) >> 32 : pair >> by);
          }),
      type, {type, type, Type::u32});
}

bool lookup_3(Decoder& d) {
  const Type type = d.take_type();
  if (type != Type::b32) return d.refuse(type);
  if (!d.need_operands(5, 5)) return true;
  d.op.mode = static_cast<uint8_t>(d.operand(4).value);
  d.result(0, type);
  for (size_t i = 1; i < 4; i++) d.source(i, type);
  if (d.operand(4).kind != PtxOperand::Kind::integer) return d.fail("the table is no constant");
  d.op.run = lanes<uint32_t(uint32_t, uint32_t, uint32_t)>(
      [](const Op& op, uint32_t a, uint32_t b, uint32_t c) {
        uint32_t out = 0;
        for (unsigned row = 0; row < 8; row++) {
          if (((op.mode >> row) & 1) == 0) continue;
          out |= ((row & 4) != 0 ? a : ~a) & ((row & 2) != 0 ? b : ~b) & ((row & 1) != 0 ? c : ~c);
        }
        return out;
      });
  return true;
}

uint32_t selector_of(uint8_t mode, uint32_t c) {
  const uint32_t i = c & 3;
  static constexpr uint16_t kForward[] = {0x3210, 0x4321, 0x5432, 0x6543};
  static constexpr uint16_t kBackward[] = {0x5670, 0x6701, 0x7012, 0x0123};
  static constexpr uint16_t kLeft[] = {0x3210, 0x3211, 0x3222, 0x3333};
  static constexpr uint16_t kRight[] = {0x0000, 0x1110, 0x2210, 0x3210};
  switch (mode) {
    case 1:
      return kForward[i];
    case 2:
      return kBackward[i];
    case 3:
      return i * 0x1111;
    case 4:
      return kLeft[i];
    case 5:
      return kRight[i];
    case 6:
      return (i & 1) != 0 ? 0x3232 : 0x1010;
    default:
      return c;
  }
}

bool permute(Decoder& d) {
  const Type type = d.take_type();
  if (type != Type::b32) return d.refuse(type);
  static constexpr std::string_view kModes[] = {"", "f4e", "b4e", "rc8", "ecl", "ecr", "rc16"};
  for (uint8_t mode = 1; mode < 7; mode++) {
    if (d.take(kModes[mode])) d.op.mode = mode;
  }
  return d.simple(lanes<uint32_t(uint32_t, uint32_t, uint32_t)>(
                      [](const Op& op, uint32_t a, uint32_t b, uint32_t c) {
                        const uint32_t selector = selector_of(op.mode, c);
                        const uint64_t pair = (uint64_t{b} << 32) | a;
                        uint32_t out = 0;
                        for (unsigned i = 0; i < 4; i++) {
                          const uint32_t nibble = (selector >> (4 * i)) & 15;
                          auto byte = static_cast<uint32_t>(pair >> (8 * (nibble & 7))) & 0xff;
                          if ((nibble & 8) != 0) byte = (byte & 0x80) != 0 ? 0xff : 0;
                          out |= byte << (8 * i);
                        }
                        return out;
                      }),
                  type, {type, type, type});
}

template <class T>
T extract(const Op&, T a, uint32_t at, uint32_t length) {
  constexpr uint32_t kBits = 8 * sizeof(T);
  at &= 0xff;
  length &= 0xff;
  using U = std::make_unsigned_t<T>;
  U out = at >= kBits ? U{0} : static_cast<U>(static_cast<U>(a) >> at);
  if (length < kBits) out &= static_cast<U>((U{1} << length) - 1);
  if constexpr (std::is_signed_v<T>) {
    if (length == 0) return 0;
    const uint32_t top = std::min(at + length - 1, kBits - 1);
    const bool negative = ((static_cast<U>(a) >> top) & 1) != 0;
    const uint32_t given = at >= kBits ? 0 : std::min(length, kBits - at);
    if (negative && given < kBits) out |= static_cast<U>(~U{0} << given);
  }
  return static_cast<T>(out);
}

template <class T>
T insert(const Op&, T a, T b, uint32_t at, uint32_t length) {
  constexpr uint32_t kBits = 8 * sizeof(T);
  at &= 0xff;
  length &= 0xff;
  if (at >= kBits || length == 0) return b;
  const T ones = length >= kBits ? static_cast<T>(~T{0}) : static_cast<T>((T{1} << length) - 1);
  const T mask = static_cast<T>(ones << at);
  return static_cast<T>((b & ~mask) | ((a << at) & mask));
}

template <class T>
Run extract_run() {
  return lanes<T(T, uint32_t, uint32_t)>(
      [](const Op& op, T a, uint32_t b, uint32_t c) { return extract<T>(op, a, b, c); });
}

bool field_extract(Decoder& d) {
  const Type type = d.take_type();
  const Run run = type == Type::u32   ? extract_run<uint32_t>()
                  : type == Type::s32 ? extract_run<int32_t>()
                  : type == Type::u64 ? extract_run<uint64_t>()
                  : type == Type::s64 ? extract_run<int64_t>()
                                      : nullptr;
  return run == nullptr ? d.refuse(type) : d.simple(run, type, {type, Type::u32, Type::u32});
}

bool field_insert(Decoder& d) {
  const Type type = d.take_type();
  if (type != Type::b32 && type != Type::b64) return d.refuse(type);
  const Run run = type == Type::b32 ? lanes<uint32_t(uint32_t, uint32_t, uint32_t, uint32_t)>(
                                          [](const Op& op, uint32_t a, uint32_t b, uint32_t c,
                                             uint32_t e) { return insert(op, a, b, c, e); })
                                    : lanes<uint64_t(uint64_t, uint64_t, uint32_t, uint32_t)>(
                                          [](const Op& op, uint64_t a, uint64_t b, uint32_t c,
                                             uint32_t e) { return insert(op, a, b, c, e); });
  return d.simple(run, type, {type, type, Type::u32, Type::u32});
}

template <class T>
Run find_run() {
  return lanes<uint32_t(T)>([](const Op& op, T a) {
    using U = std::make_unsigned_t<T>;
    const U bits = a < 0 ? static_cast<U>(~a) : static_cast<U>(a);
    if (bits == 0) return 0xffffffffu;
    const auto zeros = static_cast<uint32_t>(std::countl_zero(bits));
    return op.mode == 1 ? zeros : static_cast<uint32_t>(8 * sizeof(T)) - 1 - zeros;
  });
}

bool find(Decoder& d) {
  d.op.mode = d.take("shiftamt") ? 1 : 0;
  const Type type = d.take_type();
  const Run run = type == Type::u32   ? find_run<uint32_t>()
                  : type == Type::s32 ? find_run<int32_t>()
                  : type == Type::u64 ? find_run<uint64_t>()
                  : type == Type::s64 ? find_run<int64_t>()
                                      : nullptr;
  return run == nullptr ? d.refuse(type) : d.simple(run, Type::u32, {type});
}

template <class T>
Run count_run(bool zeros) {
  if (zeros) {
    return lanes<uint32_t(T)>(
        [](const Op&, T a) { return static_cast<uint32_t>(std::countl_zero(a)); });
  }
  return lanes<uint32_t(T)>([](const Op&, T a) { return static_cast<uint32_t>(std::popcount(a)); });
}

bool count(Decoder& d, bool zeros) {
  const Type type = d.take_type();
  if (type != Type::b32 && type != Type::b64) return d.refuse(type);
  return d.simple(type == Type::b32 ? count_run<uint32_t>(zeros) : count_run<uint64_t>(zeros),
                  Type::u32, {type});
}

template <class T>
Run reverse_run() {
  return lanes<T(T)>([](const Op&, T a) {
    T out = 0;
    for (unsigned i = 0; i < 8 * sizeof(T); i++) {
      out = static_cast<T>((out << 1) | ((a >> i) & 1));
    }
    return out;
  });
}

bool reverse(Decoder& d) {
  const Type type = d.take_type();
  if (type != Type::b32 && type != Type::b64) return d.refuse(type);
  return d.simple(type == Type::b32 ? reverse_run<uint32_t>() : reverse_run<uint64_t>(), type,
                  {type});
}

}  // namespace

bool decode_bits(Decoder& d) {
  const std::string& name = d.in().opcode;
  d.op.op_class = OpClass::integer;
  if (name == "and") return logic<And>(d);
  if (name == "or") return logic<Or>(d);
  if (name == "xor") return logic<ExclusiveOr>(d);
  if (name == "not") return invert(d, false);
  if (name == "cnot") return invert(d, true);
  if (name == "shl") return shift(d, true);
  if (name == "shr") return shift(d, false);
  if (name == "shf") return funnel_shift(d);
  if (name == "lop3") return lookup_3(d);
  if (name == "prmt") return permute(d);
  if (name == "bfe") return field_extract(d);
  if (name == "bfi") return field_insert(d);
  if (name == "bfind") return find(d);
  if (name == "clz") return count(d, true);
  if (name == "popc") return count(d, false);
  if (name == "brev") return reverse(d);
  return false;
}

}  // namespace sqf

#include <algorithm>

#include "tests/cuda_emulator/decoder.hpp"
#include "tests/cuda_emulator/lanes.hpp"

// cvt: every pair of scalar types by way of an integer or a double, with one rounding; pairs of
// narrow floats.

namespace sqf {
namespace {

enum IntegerRounding : uint8_t { kNone, kNearest, kZero, kDown, kUp };  // op.mode

const Format& format_of(Type type) {
  switch (type) {
    case Type::f16:
    case Type::f16x2:
      return kF16;
    case Type::bf16:
    case Type::bf16x2:
      return kBf16;
    case Type::tf32:
      return kTf32;
    case Type::f64:
      return kF64;
    case Type::e4m3x2:
      return kE4m3;
    case Type::e5m2x2:
      return kE5m2;
    default:
      return kF32;
  }
}

int64_t extended(uint64_t bits, Type type) {
  switch (type) {
    case Type::s8:
      return static_cast<int8_t>(bits);
    case Type::s16:
      return static_cast<int16_t>(bits);
    case Type::s32:
      return static_cast<int32_t>(bits);
    case Type::u8:
    case Type::b8:
      return static_cast<uint8_t>(bits);
    case Type::u16:
    case Type::b16:
      return static_cast<uint16_t>(bits);
    case Type::u32:
    case Type::b32:
      return static_cast<uint32_t>(bits);
    default:
      return static_cast<int64_t>(bits);
  }
}

struct Limits {
  double low, high;  // exact but for the high ends of 64 bits, which are one more
};
Limits limits_of(Type type) {
  const int bits = 8 * bytes_of(type);
  if (is_signed(type)) return {-std::ldexp(1.0, bits - 1), std::ldexp(1.0, bits - 1) - (bits < 64)};
  return {0, std::ldexp(1.0, bits) - (bits < 64)};
}

uint64_t ones_of(Type type) {
  const int bits = 8 * bytes_of(type) - (is_signed(type) ? 1 : 0);
  return bits == 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1;
}

double to_integral(double value, uint8_t mode) {
  switch (mode) {
    case kNearest:
      return std::nearbyint(value);
    case kZero:
      return std::trunc(value);
    case kDown:
      return std::floor(value);
    case kUp:
      return std::ceil(value);
    default:
      return value;
  }
}

uint64_t integer_of(double value, const Op& op) {
  if (std::isnan(value)) return 0;
  value = to_integral(value, op.mode);
  const Limits limits = limits_of(op.type);
  if (value <= limits.low) {
    return is_signed(op.type) ? static_cast<uint64_t>(static_cast<int64_t>(limits.low)) : 0;
  }
  if (value >= limits.high) return ones_of(op.type);
  return value < 0 ? static_cast<uint64_t>(static_cast<int64_t>(value))
                   : static_cast<uint64_t>(value);
}

uint64_t integer_of(uint64_t bits, const Op& op) {
  const int64_t value = extended(bits, op.from);
  if (!op.saturate) return static_cast<uint64_t>(extended(static_cast<uint64_t>(value), op.type));
  const bool huge = op.from == Type::u64 && value < 0;
  if (!huge && value < 0) {
    const int64_t least = is_signed(op.type) ? static_cast<int64_t>(limits_of(op.type).low) : 0;
    return static_cast<uint64_t>(std::max(value, least));
  }
  return std::min(static_cast<uint64_t>(value), ones_of(op.type));
}

double real_of(uint64_t bits, const Op& op) {
  const double value = op.from == Type::f32   ? float_of(static_cast<uint32_t>(bits))
                       : op.from == Type::f64 ? std::bit_cast<double>(bits)
                       : op.from == Type::f16 ? from_f16(static_cast<uint32_t>(bits))
                                              : from_bf16(static_cast<uint32_t>(bits));
  const bool subnormal = op.from == Type::f32 && std::fabs(value) < 0x1p-126;
  return op.flush && subnormal ? std::copysign(0.0, value) : value;
}

uint64_t narrowed(const Exact& value, const Op& op) {
  const uint64_t bits = encode(value, format_of(op.type), op.rounding, op.nan);  // nan: .satfinite
  if (op.flush && op.type == Type::f32 && (bits & 0x7f800000) == 0) return bits & 0x80000000;
  return op.type == Type::tf32 ? bits << 13 : bits;
}

uint64_t real_from(double value, const Op& op) {
  if (op.mode != kNone) value = to_integral(value, op.mode);
  if (op.saturate) value = std::isnan(value) ? 0 : std::clamp(value, 0.0, 1.0);
  if (op.relu && value <= 0) value = 0;
  return narrowed(exact(value), op);
}

uint64_t converted(const Op& op, uint64_t bits) {
  if (is_integer(op.from)) {
    if (is_integer(op.type)) return integer_of(bits, op);
    const auto value = static_cast<uint64_t>(extended(bits, op.from));
    if (op.saturate) return real_from(static_cast<double>(static_cast<int64_t>(value)), op);
    return narrowed(exact_integer(value, op.from != Type::u64), op);
  }
  const double value = real_of(bits, op);
  return is_integer(op.type) ? integer_of(value, op) : real_from(value, op);
}

Run run_of(Type type, bool wide_from) {
  using F = const Op&;
  const bool wide = bytes_of(type) == 8;
  if (wide && wide_from)
    return lanes<uint64_t(uint64_t)>([](F op, uint64_t a) { return converted(op, a); });
  if (wide) return lanes<uint64_t(uint32_t)>([](F op, uint32_t a) { return converted(op, a); });
  if (wide_from) {
    return lanes<uint32_t(uint64_t)>(
        [](F op, uint64_t a) { return static_cast<uint32_t>(converted(op, a)); });
  }
  return lanes<uint32_t(uint32_t)>(
      [](F op, uint32_t a) { return static_cast<uint32_t>(converted(op, a)); });
}

void take_rounding(Decoder& d, bool& given) {
  static constexpr std::string_view kNames[] = {"", "rni", "rzi", "rmi", "rpi"};
  for (uint8_t mode = 1; mode < 5; mode++) {
    if (d.take(kNames[mode])) d.op.mode = mode;
  }
  const auto rounding = d.take_rounding();
  given = rounding.has_value();
  d.op.rounding = rounding.value_or(Rounding::nearest_even);
}

/// Narrow results are extended to a register of 64 bits where one is given.
void widen_64(Warp& warp, const Op& op) {
  each_lane(warp.active, [&](unsigned lane) {
    const uint64_t bits = op.wide_source ? get<uint64_t>(warp.slot(op.src[0]), lane)
                                         : get<uint32_t>(warp.slot(op.src[0]), lane);
    put<uint64_t>(warp.slot(op.dst[0]), lane, converted(op, bits));
  });
}

bool scalar(Decoder& d) {
  const Op& op = d.op;
  const bool to_float = is_float(op.type) && is_integer(op.from);
  const bool to_integer = is_integer(op.type) && is_float(op.from);
  if (to_integer && op.mode == kNone) return d.fail("the rounding is missing");
  if (to_float && op.mode != kNone) return d.fail("rounding to an integer of an integer");
  if (op.nan && op.type != Type::tf32 && op.type != Type::f16 && op.type != Type::bf16) {
    return d.fail(".satfinite is not supported here");
  }
  if (!d.need_operands(2, 2)) return true;
  d.result(0, op.type, true);
  d.op.wide_source = bytes_of(op.from) == 8;
  d.source(1, op.from, true);
  d.op.run = op.wide_result && bytes_of(op.type) < 8 ? widen_64 : run_of(op.type, op.wide_source);
  return true;
}

uint32_t packed_reals(const Op& op, uint32_t high, uint32_t low) {
  const int bits = bytes_of(op.type) * 4;
  const auto part = [&](uint32_t a) {
    return static_cast<uint32_t>(real_from(double{float_of(a)}, op));
  };
  return part(high) << bits | part(low);
}

/// Pairs of 8-bit floats to and from pairs of f16.
uint32_t repacked(const Op& op, uint32_t pair) {
  const int from_bits = bytes_of(op.from) * 4, bits = bytes_of(op.type) * 4;
  uint32_t out = 0;
  for (int i = 0; i < 2; i++) {
    const uint64_t part = (pair >> (i * from_bits)) & ((1u << from_bits) - 1);
    out |= static_cast<uint32_t>(real_from(decode(part, format_of(op.from)), op)) << (i * bits);
  }
  return out;
}

bool packed(Decoder& d) {
  const Op& op = d.op;
  const bool eight = op.type == Type::e4m3x2 || op.type == Type::e5m2x2;
  if (eight && !op.nan) return d.fail(".satfinite is missing");
  if (op.from == Type::f32) {
    return d.simple(lanes<uint32_t(uint32_t, uint32_t)>(
                        [](const Op& o, uint32_t a, uint32_t b) { return packed_reals(o, a, b); }),
                    op.type, {Type::f32, Type::f32});
  }
  const bool from_eight = op.from == Type::e4m3x2 || op.from == Type::e5m2x2;
  if (eight == from_eight) return d.refuse(op.from);
  return d.simple(lanes<uint32_t(uint32_t)>([](const Op& o, uint32_t a) { return repacked(o, a); }),
                  op.type, {op.from});
}

/// cvt.pack.sat: two integers saturated; with bytes, the first 16 bits of c above them.
bool pack(Decoder& d) {
  if (!d.take("sat")) return d.fail(".sat is missing");
  d.op.saturate = true;
  d.op.type = d.take_type();
  d.op.from = d.take_type();
  if (d.op.from != Type::s32) return d.refuse(d.op.from);
  const int bytes = bytes_of(d.op.type);
  if (!is_integer(d.op.type) || bytes > 2) return d.refuse(d.op.type);
  if (bytes == 2) {
    return d.simple(lanes<uint32_t(uint32_t, uint32_t)>([](const Op& op, uint32_t a, uint32_t b) {
                      return static_cast<uint32_t>(integer_of(uint64_t{a}, op)) << 16 |
                             (static_cast<uint32_t>(integer_of(uint64_t{b}, op)) & 0xffff);
                    }),
                    Type::b32, {Type::s32, Type::s32});
  }
  if (d.take_type() != Type::b32) return d.fail("the third operand is b32");
  return d.simple(lanes<uint32_t(uint32_t, uint32_t, uint32_t)>(
                      [](const Op& op, uint32_t a, uint32_t b, uint32_t c) {
                        return c << 16 |
                               (static_cast<uint32_t>(integer_of(uint64_t{a}, op)) & 0xff) << 8 |
                               (static_cast<uint32_t>(integer_of(uint64_t{b}, op)) & 0xff);
                      }),
                  Type::b32, {Type::s32, Type::s32, Type::b32});
}

bool is_packed(Type type) {
  return bytes_of(type) > 0 && !is_float(type) && !is_integer(type);
}

}  // namespace

bool decode_convert(Decoder& d) {
  if (d.in().opcode != "cvt") return false;
  d.op.op_class = OpClass::convert;
  if (d.take("pack")) return pack(d);
  bool given = false;
  take_rounding(d, given);
  d.take_float_modifiers();
  d.op.nan = d.take("satfinite");
  d.op.relu = d.take("relu");
  d.op.type = d.take_type();
  d.op.from = d.take_type();
  const bool narrowing = is_float(d.op.type) && is_float(d.op.from) && d.op.type != d.op.from &&
                         bytes_of(d.op.type) <= bytes_of(d.op.from);
  const bool from_integer = is_float(d.op.type) && is_integer(d.op.from);
  if ((narrowing || from_integer) && !given) return d.fail("the rounding is missing");
  if (is_packed(d.op.type) || is_packed(d.op.from)) return packed(d);
  return scalar(d);
}

}  // namespace sqf

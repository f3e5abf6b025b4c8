#include "tests/cuda_emulator/decoder.hpp"
#include "tests/cuda_emulator/lanes.hpp"

// Arithmetic of parts of words: dot products and differences of bytes, factors of 24 bits.

namespace sqf {
namespace {

int64_t product_24(const Op& op, uint32_t a, uint32_t b) {
  const bool is_signed = op.type == Type::s32;
  const auto part = [&](uint32_t v) {
    return is_signed ? int64_t{static_cast<int32_t>(v << 8) >> 8} : int64_t{v & 0xffffff};
  };
  const int64_t product = part(a) * part(b);
  return op.mode == 1 ? product >> 16 : product;  // 48 bits: the high 32 are bits 47..16
}

bool multiply_24(Decoder& d, bool add) {
  const bool high = d.take("hi");
  if (!high && !d.take("lo")) return d.fail("one of .lo .hi is missing");
  d.op.mode = high ? 1 : 0;
  d.op.type = d.take_type();
  if (d.op.type != Type::u32 && d.op.type != Type::s32) return d.refuse(d.op.type);
  if (add) {
    return d.simple(lanes<uint32_t(uint32_t, uint32_t, uint32_t)>(
                        [](const Op& op, uint32_t a, uint32_t b, uint32_t c) {
                          return static_cast<uint32_t>(product_24(op, a, b)) + c;
                        }),
                    Type::b32, {Type::b32, Type::b32, Type::b32});
  }
  return d.simple(lanes<uint32_t(uint32_t, uint32_t)>([](const Op& op, uint32_t a, uint32_t b) {
                    return static_cast<uint32_t>(product_24(op, a, b));
                  }),
                  Type::b32, {Type::b32, Type::b32});
}

int32_t byte_of(uint32_t word, unsigned index, bool is_signed) {
  const uint32_t byte = (word >> (8 * index)) & 0xff;
  return is_signed ? static_cast<int8_t>(byte) : static_cast<int32_t>(byte);
}

/// dp4a and dp2a. op.mode: the first byte of b, or 0xff for all four; relu, nan: a, b are signed.
uint32_t dot(const Op& op, uint32_t a, uint32_t b, uint32_t c) {
  if (op.mode == 0xff) {
    for (unsigned i = 0; i < 4; i++) {
      c += static_cast<uint32_t>(byte_of(a, i, op.relu) * byte_of(b, i, op.nan));
    }
    return c;
  }
  for (unsigned i = 0; i < 2; i++) {
    const uint32_t half = (a >> (16 * i)) & 0xffff;
    const int32_t left = op.relu ? static_cast<int16_t>(half) : static_cast<int32_t>(half);
    c += static_cast<uint32_t>(left * byte_of(b, op.mode + i, op.nan));
  }
  return c;
}

bool dot_product(Decoder& d, bool four) {
  d.op.mode = 0xff;
  if (!four) d.op.mode = d.take("hi") ? 2 : d.take("lo") ? 0 : 0xfe;
  if (d.op.mode == 0xfe) return d.fail("one of .lo .hi is missing");
  const Type a = d.take_type(), b = d.take_type();
  for (const Type type : {a, b}) {
    if (type != Type::u32 && type != Type::s32) return d.refuse(type);
  }
  d.op.relu = a == Type::s32;
  d.op.nan = b == Type::s32;
  return d.simple(
      lanes<uint32_t(uint32_t, uint32_t, uint32_t)>(
          [](const Op& op, uint32_t x, uint32_t y, uint32_t z) { return dot(op, x, y, z); }),
      Type::b32, {Type::b32, Type::b32, Type::b32});
}

/// op.mode 1: the differences of the bytes are added to c.
uint32_t byte_differences(const Op& op, uint32_t a, uint32_t b, uint32_t c) {
  uint32_t out = 0, sum = c;
  for (unsigned i = 0; i < 4; i++) {
    const int32_t difference = byte_of(a, i, op.relu) - byte_of(b, i, op.nan);
    const auto magnitude = static_cast<uint32_t>(difference < 0 ? -difference : difference);
    out |= magnitude << (8 * i);
    sum += magnitude;
  }
  return op.mode == 1 ? sum : out;
}

bool differences(Decoder& d) {
  d.op.mode = d.take("add") ? 1 : 0;
  const Type out = d.take_type(), a = d.take_type(), b = d.take_type();
  for (const Type type : {out, a, b}) {
    if (type != Type::u32) return d.refuse(type);
  }
  return d.simple(lanes<uint32_t(uint32_t, uint32_t, uint32_t)>(
                      [](const Op& op, uint32_t x, uint32_t y, uint32_t z) {
                        return byte_differences(op, x, y, z);
                      }),
                  Type::b32, {Type::b32, Type::b32, Type::b32});
}

}  // namespace

bool decode_dot(Decoder& d) {
  const std::string& name = d.in().opcode;
  d.op.op_class = OpClass::integer;
  if (name == "mul24") return multiply_24(d, false);
  if (name == "mad24") return multiply_24(d, true);
  if (name == "vabsdiff4") return differences(d);
  if (name == "dp4a") return dot_product(d, true);
  if (name == "dp2a") return dot_product(d, false);
  return false;
}

}  // namespace sqf

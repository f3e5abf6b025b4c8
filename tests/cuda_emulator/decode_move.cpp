#include "tests/cuda_emulator/block.hpp"
#include "tests/cuda_emulator/decoder.hpp"
#include "tests/cuda_emulator/lanes.hpp"

// mov with packing and special registers, conversions of addresses between spaces.

namespace sqf {
namespace {

template <class T>
constexpr Run copy_run() {
  return lanes<T(T)>([](const Op&, T a) { return a; });
}

void run_clock(Warp& warp, const Op& op) {
  const auto now = static_cast<uint64_t>(warp.executed);
  each_lane(warp.active, [&](unsigned lane) {
    if (op.wide_result) {
      put<uint64_t>(warp.slot(op.dst[0]), lane, now);
    } else {
      put<uint32_t>(warp.slot(op.dst[0]), lane, static_cast<uint32_t>(now));
    }
  });
}

uint64_t read_bits(Warp& warp, uint32_t slot, unsigned lane, int bytes) {
  return bytes == 8 ? get<uint64_t>(warp.slot(slot), lane) : get<uint32_t>(warp.slot(slot), lane);
}

void write_bits(Warp& warp, uint32_t slot, unsigned lane, int bytes, uint64_t bits) {
  if (bytes == 8) {
    put<uint64_t>(warp.slot(slot), lane, bits);
  } else {
    put<uint32_t>(warp.slot(slot), lane, static_cast<uint32_t>(bits));
  }
}

/// op.type the whole, op.from a part; op.mode 1: the parts are the results.
void run_pack(Warp& warp, const Op& op) {
  const int whole = bytes_of(op.type), part = bytes_of(op.from);
  const uint64_t ones = (uint64_t{1} << (8 * part)) - 1;
  each_lane(warp.active, [&](unsigned lane) {
    if (op.mode == 1) {
      const uint64_t bits = read_bits(warp, op.src[0], lane, whole);
      for (unsigned i = 0; i < op.count; i++) {
        write_bits(warp, op.dst[i], lane, part, (bits >> (8 * part * static_cast<int>(i))) & ones);
      }
      return;
    }
    uint64_t bits = 0;
    for (unsigned i = 0; i < op.count; i++) {
      bits |= (read_bits(warp, op.src[i], lane, part) & ones) << (8 * part * static_cast<int>(i));
    }
    write_bits(warp, op.dst[0], lane, whole, bits);
  });
}

bool pack_or_unpack(Decoder& d, Type type, bool unpacks) {
  const size_t parts = d.operand(unpacks ? 0 : 1).elements.size();
  const int whole = bytes_of(type);
  const int part = parts == 0 ? 0 : whole / static_cast<int>(parts);
  const Type from = part == 4   ? Type::b32
                    : part == 2 ? Type::b16
                    : part == 1 ? Type::b8
                                : Type::none;
  if (from == Type::none || part * static_cast<int>(parts) != whole) {
    return d.fail("parts that do not make up the whole");
  }
  d.op.type = type;
  d.op.from = from;
  d.op.mode = unpacks ? 1 : 0;
  d.op.count = static_cast<uint8_t>(parts);
  d.op.run = run_pack;
  if (unpacks) {
    d.vector_results(0, from);
    d.source(1, type);
  } else {
    d.result(0, type);
    d.vector_sources(1, from);
  }
  return true;
}

bool move(Decoder& d) {
  const Type type = d.take_type();
  d.op.undefined = Undefined::copied;
  if (!d.need_operands(2, 2)) return true;
  const bool unpacks = d.operand(0).kind == PtxOperand::Kind::vector;
  if (unpacks || d.operand(1).kind == PtxOperand::Kind::vector) {
    return pack_or_unpack(d, type, unpacks);
  }
  const Run run = type == Type::pred    ? lanes<Bit(Bit)>([](const Op& op, Bit a) {
    return Bit{a.value != ((op.negated & 1) != 0)};
  })
                  : bytes_of(type) == 8 ? copy_run<uint64_t>()
                  : bytes_of(type) == 2 ? copy_run<uint16_t>()
                                        : copy_run<uint32_t>();
  d.simple(run, type, {type});
  if (d.op.mode == static_cast<uint8_t>(Special::clock) ||
      d.op.mode == static_cast<uint8_t>(Special::clock64)) {
    d.op.run = run_clock;
  }
  return true;
}

Space take_space(Decoder& d, uint64_t& window) {
  window = 0;
  if (d.take("global")) return Space::global;
  if (d.take("const")) return Space::constant;
  if (d.take("shared") || d.take("shared::cta")) {
    window = kSharedWindow;
    return Space::shared;
  }
  if (d.take("local")) {
    window = kLocalWindow;
    return Space::local;
  }
  if (d.take("param") || d.take("param::entry")) {
    window = kParameterWindow;
    return Space::parameter;
  }
  d.fail("the space is missing or unknown");
  return Space::generic;
}

bool convert_address(Decoder& d) {
  const bool to_space = d.take("to");
  uint64_t window = 0;
  take_space(d, window);
  const Type type = d.take_type();
  if (type != Type::u64) return d.refuse(type);
  d.op.offset = static_cast<int64_t>(to_space ? 0 - window : window);
  return d.simple(lanes<uint64_t(uint64_t)>([](const Op& op, uint64_t a) {
                    return a + static_cast<uint64_t>(op.offset);
                  }),
                  type, {type});
}

bool is_in_space(Decoder& d) {
  uint64_t window = 0;
  d.op.space = take_space(d, window);
  d.op.offset = static_cast<int64_t>(window);
  return d.simple(lanes<Bit(uint64_t)>([](const Op& op, uint64_t a) {
                    return Bit{(a >> 56) << 56 == static_cast<uint64_t>(op.offset)};
                  }),
                  Type::pred, {Type::u64});
}

}  // namespace

bool decode_move(Decoder& d) {
  const std::string& name = d.in().opcode;
  d.op.op_class = OpClass::move;
  if (name == "mov") return move(d);
  if (name == "cvta") return convert_address(d);
  if (name == "isspacep") return is_in_space(d);
  return false;
}

}  // namespace sqf

#include <cstring>

#include "tests/cuda_emulator/access.hpp"
#include "tests/cuda_emulator/block.hpp"
#include "tests/cuda_emulator/decoder.hpp"
#include "tests/cuda_emulator/lanes.hpp"

// ld and st. Orders and scopes are met by running one operation at a time; cache hints change
// nothing that is counted.

namespace sqf {
namespace {

uint64_t extended_element(const Op& op, const uint8_t* from) {
  const int bytes = bytes_of(op.type);
  uint64_t bits = 0;
  std::memcpy(&bits, from, static_cast<size_t>(bytes));
  switch (op.type) {
    case Type::s8:
      return static_cast<uint64_t>(int64_t{static_cast<int8_t>(bits)});
    case Type::s16:
      return static_cast<uint64_t>(int64_t{static_cast<int16_t>(bits)});
    case Type::s32:
      return static_cast<uint64_t>(int64_t{static_cast<int32_t>(bits)});
    default:
      return bits;
  }
}

void run_load(Warp& warp, const Op& op) {
  const Addresses addresses = addresses_of(warp, op);
  const auto size = static_cast<uint32_t>(bytes_of(op.type));
  count_request(warp, op, addresses, size * op.count, false);
  each_lane(warp.active, [&](unsigned lane) {
    uint8_t bytes[16];
    const Place place = place_of(op.space, addresses.of[lane]);
    if (warp.failed() || !load(warp, lane, place, size * op.count, bytes)) return;
    for (unsigned i = 0; i < op.count; i++) {
      if (op.dst[i] == 0) continue;
      const uint64_t bits = extended_element(op, bytes + i * size);
      if (op.wide_result) {
        put<uint64_t>(warp.slot(op.dst[i]), lane, bits);
      } else {
        put<uint32_t>(warp.slot(op.dst[i]), lane, static_cast<uint32_t>(bits));
      }
    }
  });
}

void run_store(Warp& warp, const Op& op) {
  const Addresses addresses = addresses_of(warp, op);
  const auto size = static_cast<uint32_t>(bytes_of(op.type));
  count_request(warp, op, addresses, size * op.count, true);
  each_lane(warp.active, [&](unsigned lane) {
    uint8_t bytes[16];
    for (unsigned i = 0; i < op.count; i++) {
      const uint32_t* slot = warp.slot(op.src[1 + i]);
      std::memcpy(bytes + i * size, slot + (op.wide_source ? 2 * lane : lane), size);
    }
    const Place place = place_of(op.space, addresses.of[lane]);
    if (!warp.failed()) store(warp, lane, place, size * op.count, bytes);
  });
}

void take_order(Decoder& d) {
  for (const std::string_view word : {"weak", "volatile", "relaxed", "acquire", "release", "mmio",
                                      "cta", "cluster", "gpu", "sys", "unified"}) {
    d.take(word);
  }
}

void take_hints(Decoder& d, bool& policy) {
  policy = d.take("L2::cache_hint");
  while (d.take_prefix("L1::evict_") || d.take_prefix("L1::no_allocate") ||
         d.take_prefix("L2::evict_") || d.take("L2::64B") || d.take("L2::128B") ||
         d.take("L2::256B")) {
  }
  for (const std::string_view word : {"nc", "ca", "cg", "cs", "lu", "cv", "wb", "wt"}) d.take(word);
}

Space space_of_access(Decoder& d) {
  if (d.take("global")) return Space::global;
  if (d.take("shared") || d.take("shared::cta")) return Space::shared;
  if (d.take("const")) return Space::constant;
  if (d.take("local")) return Space::local;
  if (d.take("param") || d.take("param::entry") || d.take("param::func")) return Space::parameter;
  return Space::generic;
}

void set_class(Op& op) {
  op.op_class = op.space == Space::shared      ? OpClass::shared
                : op.space == Space::local     ? OpClass::local
                : op.space == Space::parameter ? OpClass::parameter
                                               : OpClass::global;
}

bool load_or_store(Decoder& d, bool stores) {
  take_order(d);
  bool policy = false;
  const Space space = space_of_access(d);
  take_hints(d, policy);
  d.op.count = d.take("v2") ? 2 : d.take("v4") ? 4 : 1;
  d.op.type = d.take_type();
  if (bytes_of(d.op.type) * d.op.count > 16) return d.fail("more than 16 bytes for a lane");
  if (!d.need_operands(2, policy ? 3 : 2)) return true;
  if (stores) {
    d.address(0, space);
    d.op.wide_source = bytes_of(d.op.type) == 8;
    d.vector_sources(1, d.op.type, true);
    d.op.run = run_store;
    if (d.op.src_count != d.op.count + 1) return d.fail("another number of values");
  } else {
    d.vector_results(0, d.op.type, true);
    d.address(1, space);
    d.op.run = run_load;
    if (d.op.dst_count != d.op.count) return d.fail("another number of results");
  }
  if (policy) d.source(2, Type::b64);
  set_class(d.op);
  return true;
}

void run_nothing(Warp&, const Op&) {}

bool hint(Decoder& d) {
  bool policy = false;
  const Space space = space_of_access(d);
  d.take("L1");
  d.take("L2");
  d.take_prefix("L2::evict_");
  take_hints(d, policy);
  d.address(0, space);
  d.op.run = run_nothing;
  d.op.op_class = OpClass::global;
  return true;
}

bool create_policy(Decoder& d) {
  while (!d.first().empty() && d.first() != "b64") d.take_first();
  d.result(0, d.take_type());
  d.op.run = [](Warp& warp, const Op& op) {
    each_lane(warp.active, [&](unsigned lane) { put<uint64_t>(warp.slot(op.dst[0]), lane, 0); });
  };
  return true;
}

}  // namespace

bool decode_memory(Decoder& d) {
  const std::string& name = d.in().opcode;
  if (name == "ld" || name == "ldu") return load_or_store(d, false);
  if (name == "st") return load_or_store(d, true);
  if (name == "prefetch" || name == "prefetchu" || name == "applypriority") return hint(d);
  if (name == "createpolicy") return create_policy(d);
  return false;
}

}  // namespace sqf

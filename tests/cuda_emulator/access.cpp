#include "tests/cuda_emulator/access.hpp"

#include <bit>
#include <cstdio>
#include <cstring>

#include "tests/cuda_emulator/block.hpp"
#include "tests/cuda_emulator/decoder.hpp"
#include "tests/cuda_emulator/lanes.hpp"

namespace sqf {
namespace {

constexpr int kIllegalAddress = 700, kMisaligned = 716, kLaunchFailed = 719;

std::string hexadecimal(uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof(text), "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

SharedMemory::Access access_of(const Warp& warp, unsigned lane) {
  return {warp.index, warp.index * 32 + lane, static_cast<uint32_t>(warp.executed), false};
}

bool check_local(Warp& warp, unsigned lane, Place place, uint32_t bytes) {
  const auto size = static_cast<uint64_t>(warp.kernel->local_bytes);
  if (place.address > size || bytes > size - place.address) {
    warp.fail(kIllegalAddress, lane,
              "local address " + std::to_string(place.address) + " is outside the " +
                  std::to_string(size) + " bytes of local memory");
    return false;
  }
  if (place.address % bytes == 0) return true;
  warp.fail(kMisaligned, lane, "local address " + std::to_string(place.address) + " is misaligned");
  return false;
}

bool load_parameter(Warp& warp, unsigned lane, Place place, uint32_t bytes, void* out) {
  const std::vector<uint8_t>& all = warp.block->parameters;
  if (place.address > all.size() || bytes > all.size() - place.address ||
      place.address % bytes != 0) {
    warp.fail(kIllegalAddress, lane,
              "parameter address " + std::to_string(place.address) + " is outside or misaligned");
    return false;
  }
  std::memcpy(out, all.data() + place.address, bytes);
  return true;
}

}  // namespace

Addresses addresses_of(Warp& warp, const Op& op) {
  Addresses out{};
  const uint32_t* base = warp.slot(op.src[0]);
  const auto offset = static_cast<uint64_t>(op.offset);
  if (op.wide_address) {
    for (unsigned lane = 0; lane < 32; lane++) out.of[lane] = get<uint64_t>(base, lane) + offset;
  } else {
    for (unsigned lane = 0; lane < 32; lane++) {
      out.of[lane] = static_cast<uint32_t>(base[lane] + offset);
    }
  }
  return out;
}

Place place_of(Space space, uint64_t address) {
  if (space == Space::constant) return {Space::global, address};
  if (space != Space::generic) return {space, address};
  if (address >= kParameterWindow) return {Space::parameter, address - kParameterWindow};
  if (address >= kLocalWindow) return {Space::local, address - kLocalWindow};
  if (address >= kSharedWindow) return {Space::shared, address - kSharedWindow};
  return {Space::global, address};
}

bool check_shared(Warp& warp, unsigned lane, uint64_t address, uint32_t bytes, uint32_t align) {
  const uint64_t size = warp.block->shared.bytes();
  if (address > size || bytes > size - address) {
    warp.fail(kIllegalAddress, lane,
              "shared address " + std::to_string(static_cast<int64_t>(address)) + " (" +
                  std::to_string(bytes) + " bytes) is outside the block's " + std::to_string(size) +
                  " bytes");
    return false;
  }
  if (address % align == 0) return true;
  warp.fail(
      kMisaligned, lane,
      "shared address " + std::to_string(address) + " is no multiple of " + std::to_string(align));
  return false;
}

bool global_problem(Warp& warp, unsigned lane, uint64_t address, uint32_t bytes, int problem) {
  const auto kind = static_cast<Problem>(problem);
  if (kind == Problem::none) return true;
  const std::string where = "global address " + hexadecimal(address) + " (" +
                            std::to_string(bytes) + " bytes), " +
                            warp.block->memory.describe(address) + ", ";
  if (kind == Problem::outside) {
    warp.fail(kIllegalAddress, lane, where + "is outside any allocation");
  } else if (kind == Problem::misaligned) {
    warp.fail(kMisaligned, lane, where + "is misaligned");
  } else if (kind == Problem::constant) {
    warp.fail(kIllegalAddress, lane, where + "is constant");
  } else {
    warp.fail(kLaunchFailed, lane, where + "was never written");
  }
  return false;
}

bool load(Warp& warp, unsigned lane, Place place, uint32_t bytes, void* out) {
  switch (place.space) {
    case Space::shared: {
      if (!check_shared(warp, lane, place.address, bytes, bytes)) return false;
      const std::string problem = warp.block->shared.read(
          access_of(warp, lane), static_cast<uint32_t>(place.address), bytes, out);
      if (problem.empty()) return true;
      warp.fail(kLaunchFailed, lane, problem);
      return false;
    }
    case Space::local: {
      if (!check_local(warp, lane, place, bytes)) return false;
      const size_t at = lane * static_cast<size_t>(warp.kernel->local_bytes) + place.address;
      if (std::memchr(warp.local_defined.data() + at, 0, bytes) != nullptr) {
        warp.fail(kLaunchFailed, lane,
                  "local address " + std::to_string(place.address) + " was never written");
        return false;
      }
      std::memcpy(out, warp.local.data() + at, bytes);
      return true;
    }
    case Space::parameter:
      return load_parameter(warp, lane, place, bytes, out);
    default:
      return global_problem(warp, lane, place.address, bytes,
                            static_cast<int>(warp.block->view.read(place.address, bytes, out)));
  }
}

bool store(Warp& warp, unsigned lane, Place place, uint32_t bytes, const void* from) {
  switch (place.space) {
    case Space::shared: {
      if (!check_shared(warp, lane, place.address, bytes, bytes)) return false;
      const std::string problem = warp.block->shared.write(
          access_of(warp, lane), static_cast<uint32_t>(place.address), bytes, from);
      if (problem.empty()) return true;
      warp.fail(kLaunchFailed, lane, problem);
      return false;
    }
    case Space::local: {
      if (!check_local(warp, lane, place, bytes)) return false;
      const size_t at = lane * static_cast<size_t>(warp.kernel->local_bytes) + place.address;
      std::memcpy(warp.local.data() + at, from, bytes);
      std::memset(warp.local_defined.data() + at, 1, bytes);
      return true;
    }
    case Space::parameter:
      warp.fail(kIllegalAddress, lane, "a store to a parameter");
      return false;
    default:
      return global_problem(warp, lane, place.address, bytes,
                            static_cast<int>(warp.block->view.write(place.address, bytes, from)));
  }
}

void count_global(Warp& warp, const Addresses& addresses, uint32_t active, uint32_t bytes,
                  bool writes) {
  Counters& counters = warp.block->counters;
  Traffic& traffic = writes ? counters.global_writes : counters.global_reads;
  traffic.requests++;
  traffic.bytes += static_cast<uint64_t>(std::popcount(active)) * bytes;
  traffic.sectors += sectors_of(addresses.of, active, bytes);
  if (!writes) warp.block->view.note_fetch(addresses.of, active);
}

void count_shared(Warp& warp, const Addresses& addresses, uint32_t active, uint32_t bytes) {
  uint32_t narrow[32];
  for (unsigned lane = 0; lane < 32; lane++) {
    narrow[lane] = static_cast<uint32_t>(addresses.of[lane]);
  }
  const Wavefronts wavefronts = wavefronts_of(narrow, active, bytes);
  Counters& counters = warp.block->counters;
  counters.shared_requests++;
  counters.shared_wavefronts += wavefronts.taken;
  counters.bank_conflicts += wavefronts.taken - wavefronts.least;
}

void count_request(Warp& warp, const Op& op, const Addresses& addresses, uint32_t bytes,
                   bool writes) {
  uint32_t global = 0, shared = 0;
  Addresses plain = addresses;
  each_lane(warp.active, [&](unsigned lane) {
    const Place place = place_of(op.space, addresses.of[lane]);
    plain.of[lane] = place.address;
    if (place.space == Space::global) global |= 1u << lane;
    if (place.space == Space::shared) shared |= 1u << lane;
  });
  if (global != 0) count_global(warp, plain, global, bytes, writes);
  if (shared != 0) count_shared(warp, plain, shared, bytes);
}

}  // namespace sqf

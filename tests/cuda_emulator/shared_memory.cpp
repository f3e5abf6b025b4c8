#include "tests/cuda_emulator/shared_memory.hpp"

#include <algorithm>
#include <cstring>

namespace sqf {

void SharedMemory::begin(uint32_t bytes, unsigned warps) {
  uint32_t latest = base_;
  for (const auto& clock : clocks_)
    latest = std::max(latest, *std::max_element(clock.begin(), clock.end()));
  if (latest > 0xf0000000) {
    latest = 1;
    shadow_.clear();
  }
  base_ = latest;
  data_.assign(bytes, 0xcd);
  shadow_.resize(bytes);
  clocks_.assign(warps, std::vector<uint32_t>(warps, base_));
  for (unsigned warp = 0; warp < warps; warp++) clocks_[warp][warp] = base_ + 1;
  for (SharedByte& byte : shadow_) byte.arriving = false;
}

std::string SharedMemory::conflict(const Access& access, uint32_t address, const SharedByte& byte,
                                   bool writes) const {
  const std::vector<uint32_t>& seen = clocks_[access.warp];
  const auto races = [&](uint32_t time, uint32_t thread) {
    return time > base_ && thread / 32 != access.warp && time > seen[thread / 32];
  };
  const auto name = [&] { return "shared byte " + std::to_string(address); };
  if (byte.arriving) {
    return name() + " is touched while a cp.async of thread " + std::to_string(byte.writer) +
           " to it has not been waited for";
  }
  if (races(byte.written, byte.writer) && !(access.atomic && byte.atomic)) {
    return "race: " + name() + " was written by thread " + std::to_string(byte.writer) +
           " with no barrier since";
  }
  if (!writes) return {};
  for (const auto& [time, thread] :
       {std::pair{byte.read, byte.reader}, std::pair{byte.read_before, byte.reader_before}}) {
    if (races(time, thread)) {
      return "race: " + name() + " was read by thread " + std::to_string(thread) +
             " with no barrier since";
    }
  }
  return {};
}

std::string SharedMemory::read(const Access& access, uint32_t address, uint32_t bytes, void* out) {
  const std::vector<uint32_t>& seen = clocks_[access.warp];
  const uint32_t now = seen[access.warp];
  for (uint32_t i = address; i < address + bytes; i++) {
    SharedByte& byte = shadow_[i];
    const unsigned writer = byte.writer / 32;
    const bool fine = !byte.arriving && byte.written > base_ &&
                      (writer == access.warp || byte.written <= seen[writer]);
    if (!fine) {
      std::string problem = conflict(access, i, byte, false);
      if (!problem.empty()) return problem;
      if (byte.written <= base_) return "shared byte " + std::to_string(i) + " was never written";
    }
    if (byte.reader / 32u != access.warp) {
      byte.read_before = byte.read;
      byte.reader_before = byte.reader;
    }
    byte.read = now;
    byte.reader = static_cast<uint16_t>(access.thread);
  }
  std::memcpy(out, data_.data() + address, bytes);
  return {};
}

std::string SharedMemory::write(const Access& access, uint32_t address, uint32_t bytes,
                                const void* from) {
  const uint32_t now = clocks_[access.warp][access.warp];
  const auto* values = static_cast<const uint8_t*>(from);
  for (uint32_t i = address; i < address + bytes; i++) {
    SharedByte& byte = shadow_[i];
    std::string problem = conflict(access, i, byte, true);
    if (!problem.empty()) return problem;
    const bool same_instruction = byte.written > base_ && byte.stamp == access.stamp &&
                                  byte.writer / 32u == access.warp && byte.writer != access.thread;
    if (same_instruction && !access.atomic && data_[i] != values[i - address]) {
      return "race: shared byte " + std::to_string(i) + " is also written by thread " +
             std::to_string(byte.writer) + " in the same instruction, with another value";
    }
    byte.written = now;
    byte.writer = static_cast<uint16_t>(access.thread);
    byte.stamp = access.stamp;
    byte.atomic = access.atomic;
  }
  std::memcpy(data_.data() + address, from, bytes);
  return {};
}

std::string SharedMemory::update(const Access& access, uint32_t address, uint32_t bytes, void* old,
                                 const std::function<void(void*)>& change) {
  for (uint32_t i = address; i < address + bytes; i++) {
    if (shadow_[i].written <= base_)
      return "shared byte " + std::to_string(i) + " was never written";
  }
  uint8_t fresh[8];
  std::memcpy(old, data_.data() + address, bytes);
  change(fresh);
  return write(access, address, bytes, fresh);
}

std::string SharedMemory::begin_copy(const Access& access, uint32_t address, uint32_t bytes) {
  for (uint32_t i = address; i < address + bytes; i++) {
    SharedByte& byte = shadow_[i];
    std::string problem = conflict(access, i, byte, true);
    if (!problem.empty()) return problem;
    byte.arriving = true;
    byte.written = clocks_[access.warp][access.warp];
    byte.writer = static_cast<uint16_t>(access.thread);
  }
  return {};
}

void SharedMemory::finish_copy(const Access& access, uint32_t address, uint32_t bytes,
                               const void* from) {
  for (uint32_t i = address; i < address + bytes; i++) {
    SharedByte& byte = shadow_[i];
    byte.arriving = false;
    byte.written = clocks_[access.warp][access.warp];
    byte.writer = static_cast<uint16_t>(access.thread);
    byte.stamp = access.stamp;
    byte.atomic = false;
  }
  std::memcpy(data_.data() + address, from, bytes);
}

}  // namespace sqf

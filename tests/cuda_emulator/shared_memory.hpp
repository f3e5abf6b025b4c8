#pragma once

// A block's shared memory with a shadow that finds races: every byte knows its last writer and two
// last readers, every warp how far it has seen each other warp come (vector clocks, joined at
// barriers). Within a warp, order is that of execution. Times only grow, also from block to block,
// so that what a former block left is neither a race nor defined.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace sqf {

struct SharedByte {
  uint32_t written = 0, read = 0, read_before = 0;     // times; 0: never
  uint32_t stamp = 0;                                  // of the instruction that wrote
  uint16_t writer = 0, reader = 0, reader_before = 0;  // threads
  bool atomic = false, arriving = false;
};

class SharedMemory {
 public:
  void begin(uint32_t bytes, unsigned warps);  // of a block

  struct Access {
    unsigned warp = 0, thread = 0;
    uint32_t stamp = 0;
    bool atomic = false;
  };
  /// What is wrong with it, or nothing. Addresses have been checked.
  std::string read(const Access& access, uint32_t address, uint32_t bytes, void* out);
  std::string write(const Access& access, uint32_t address, uint32_t bytes, const void* from);
  /// An atomic operation: `old` read, then `change` called on the bytes.
  std::string update(const Access& access, uint32_t address, uint32_t bytes, void* old,
                     const std::function<void(void*)>& change);
  std::string begin_copy(const Access& access, uint32_t address, uint32_t bytes);
  void finish_copy(const Access& access, uint32_t address, uint32_t bytes, const void* from);
  uint8_t* data() { return data_.data(); }
  uint32_t bytes() const { return static_cast<uint32_t>(data_.size()); }

  std::vector<uint32_t>& clocks(unsigned warp) { return clocks_[warp]; }
  void tick(unsigned warp) { clocks_[warp][warp]++; }

 private:
  std::string conflict(const Access& access, uint32_t address, const SharedByte& byte,
                       bool writes) const;

  std::vector<uint8_t> data_;
  std::vector<SharedByte> shadow_;
  std::vector<std::vector<uint32_t>> clocks_;  // [warp][other warp]
  uint32_t base_ = 1;
};

}  // namespace sqf

#pragma once

// Device memory: allocations at addresses of the host, each on pages of its own with a guard page
// behind, never at an address that was in use before. Beside the bytes lies a shadow that says
// which were ever written, and, while something is read, how much of every 32-byte sector was.
// Pinned host memory is an allocation too.

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "tests/cuda_emulator/counters.hpp"

namespace sqf {

struct Pages {  // anonymous memory, zero until touched
  Pages() = default;
  explicit Pages(uint64_t bytes);
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;
  Pages(Pages&& other) noexcept;
  Pages& operator=(Pages&& other) noexcept;
  ~Pages();
  void close();  // contents dropped, every touch a fault, the addresses kept

  uint8_t* data = nullptr;
  uint64_t bytes = 0;
};

struct SectorReads {
  uint32_t bytes = 0;    // asked for
  uint32_t fetches = 0;  // requests of a warp that had this sector
};

struct Allocation {
  uint64_t address = 0, bytes = 0;
  std::string name;
  bool host = false, freed = false, constant = false;
  Pages pages, defined, read, sectors;
  std::vector<uint8_t> touched;  // of every 64 KiB: was read in this launch
  uint8_t* at(uint64_t where) const { return pages.data + (where - address); }
};

struct ReadRange {  // what a launch read of a tagged range, or of an allocation without tags
  std::string name;
  uint64_t address = 0, bytes = 0;
  uint64_t read_bytes = 0, unique_bytes = 0, fetched_sectors = 0, unique_sectors = 0;
};

class GlobalMemory {
 public:
  static constexpr uint64_t kReadPage = 1 << 16;

  /// 0 where the host has no such memory. Host memory counts as written.
  uint64_t allocate(uint64_t bytes, const std::string& name, bool host);
  bool release(uint64_t address, bool host);
  void release_all();
  Allocation* find(uint64_t address);  // the living one that holds the address
  /// The living allocation that holds all the bytes, or nothing.
  Allocation* holding(uint64_t address, uint64_t bytes);
  std::string describe(uint64_t address) const;  // what is nearest
  uint64_t used() const { return used_; }

  void define(Allocation& allocation, uint64_t address, uint64_t bytes);
  void tag(uint64_t address, uint64_t bytes, const std::string& name);
  std::vector<ReadRange> take_reads();  // of the launch that ended

  std::mutex atomics;

 private:
  ReadRange reads_of(const Allocation& allocation, uint64_t address, uint64_t bytes) const;

  std::map<uint64_t, std::unique_ptr<Allocation>> allocations_;
  std::map<uint64_t, std::pair<uint64_t, std::string>> tags_;
  uint64_t used_ = 0;
};

enum class Problem { none, outside, misaligned, undefined, constant };

/// One worker's way into the memory, which remembers the last allocation.
class GlobalView {
 public:
  explicit GlobalView(GlobalMemory& memory) : memory_(memory) {}

  Problem read(uint64_t address, uint32_t bytes, void* out);
  Problem write(uint64_t address, uint32_t bytes, const void* from);
  /// The bytes themselves, for an atomic operation; null and a problem where there are none.
  uint8_t* place(uint64_t address, uint32_t bytes, Problem& problem);
  /// Notes the sectors that a warp's request fetches; call before the reads.
  void note_fetch(const uint64_t (&addresses)[32], uint32_t active);

 private:
  Allocation* locate(uint64_t address, uint32_t bytes, Problem& problem);

  GlobalMemory& memory_;
  Allocation* last_ = nullptr;
};

}  // namespace sqf

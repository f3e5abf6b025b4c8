#pragma once

// A block of threads: its warps in time slices, its barriers, its shared memory. Everything an
// operation needs beyond its registers is reached from here.

#include <array>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "tests/cuda_emulator/counters.hpp"
#include "tests/cuda_emulator/global_memory.hpp"
#include "tests/cuda_emulator/program.hpp"
#include "tests/cuda_emulator/shared_memory.hpp"
#include "tests/cuda_emulator/warp.hpp"

namespace sqf {

struct Extent {
  uint32_t x = 1, y = 1, z = 1;
  uint64_t count() const { return uint64_t{x} * y * z; }
};

struct LaunchShape {
  Extent grid, block;
  uint32_t dynamic_shared_bytes = 0;
  uint32_t multiprocessors = 1;
  uint64_t grid_id = 0;
  int64_t limit = INT64_MAX;  // operations of a block
};

struct Fault {
  int code = 0;  // of the driver's numbers; 0: none
  std::string message;
};

struct Barrier {
  uint32_t expected = 0;  // warps; 0: every warp that lives
  uint32_t arrived = 0;
  std::vector<unsigned> waiting;
  std::vector<uint32_t>
      clocks;  // the latest each warp is known to have done, of those that arrived
  uint64_t reduced_count = 0;
  bool reduced_and = true, reduced_or = false;
};

class Block {
 public:
  Block(const Kernel& kernel, const LaunchShape& shape, const std::vector<uint8_t>& parameters,
        GlobalMemory& memory, uint64_t seed);

  /// Runs block `number` of the grid to its end, or to a fault.
  void run(uint64_t number);

  /// The warp comes to barrier `id`, which `threads` threads take part in (0: all), and waits there
  /// or goes on.
  void arrive(Warp& warp, uint32_t id, uint32_t threads, bool wait, uint32_t predicate);
  void fail(int code, const Warp* warp, unsigned lane, const std::string& what);
  Extent thread_of(unsigned warp, unsigned lane) const;

  const Kernel& kernel;
  const LaunchShape& shape;
  const std::vector<uint8_t>& parameters;
  GlobalMemory& memory;
  SharedMemory shared;
  Counters counters;
  GlobalView view;
  Extent place;  // ctaid
  Fault fault;

 private:
  unsigned living() const;
  void check_barriers();
  void complete(Barrier& barrier);

  std::vector<Warp> warps_;
  std::array<Barrier, 16> barriers_;
  std::mt19937_64 random_;
  bool shuffled_ = false;
};

}  // namespace sqf

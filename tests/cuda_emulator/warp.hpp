#pragma once

// A warp: 32 lanes in lockstep with the mask of those that take part. Where lanes part at a branch,
// one side runs first and both meet again at the branch's immediate postdominator. What the lanes
// do to memory goes through their block.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tests/cuda_emulator/program.hpp"

namespace sqf {

class Block;

struct Frame {
  uint32_t pc;
  uint32_t reconverge;
  uint32_t mask;
};

struct PendingCopy {  // a cp.async whose bytes have not arrived
  uint32_t shared_address;
  uint32_t bytes;
  uint32_t group;
  uint8_t data[16];
};

struct LaneCopies {
  uint32_t open_group = 0;  // copies of this number have not been committed
  std::vector<PendingCopy> pending;
};

class Warp {
 public:
  enum class State { ready, waiting, done };

  /// `lanes`: how many threads of the block this warp has.
  void start(Block& block, const Kernel& kernel, unsigned index, unsigned lanes);
  /// Runs until `budget` operations are done or the warp waits, ends or fails.
  void run(int64_t budget);

  uint32_t* slot(uint32_t place) { return file_.data() + static_cast<size_t>(place) * 32; }
  uint32_t& defined(uint32_t place) { return defined_[place]; }

  struct Group {
    uint32_t pc;
    uint32_t mask;
  };
  uint32_t lanes_here() const { return frames_.back().mask; }
  uint32_t next_pc() const { return frames_.back().pc; }
  void part(std::span<const Group> groups, uint32_t reconverge);
  void leave(uint32_t mask);  // the lanes end
  /// For an operation that needs lanes which are elsewhere: they run first, then it is tried again.
  /// False where none of them can come any more.
  bool postpone();
  void met() { held_ = 0; }  // the lanes that were waited for have come

  /// Stops the launch. `lane` is the thread to name.
  void fail(int code, unsigned lane, const std::string& what);
  bool failed() const;

  uint32_t active = 0;  // of the operation that runs
  uint32_t live = 0;    // lanes that have not ended
  uint32_t carry = 0;   // .cc
  unsigned index = 0;
  State state = State::done;
  Block* block = nullptr;
  const Kernel* kernel = nullptr;
  const Op* current = nullptr;
  std::vector<LaneCopies> copies;
  std::vector<uint8_t> local;  // [lane][kernel.local_bytes]
  std::vector<uint8_t> local_defined;
  int64_t executed = 0;

 private:
  bool ends_at(uint32_t pc) const;
  bool defined_sources(const Op& op);
  void define_results(const Op& op);
  void fill_constants(const Kernel& kernel);
  void fill_specials(const Kernel& kernel);

  std::vector<uint32_t> file_;
  std::vector<uint32_t> defined_;
  std::vector<Frame> frames_;
  const Kernel* filled_for_ = nullptr;
  uint32_t held_ = 0;  // lanes that wait in postponed operations
  bool postponed_ = false;
};

}  // namespace sqf

#include "tests/cuda_emulator/block.hpp"

#include <algorithm>
#include <bit>

#include "tests/cuda_emulator/lanes.hpp"

namespace sqf {
namespace {

constexpr int64_t kSlice = 97;  // operations a warp runs before the next one has its turn

std::string text_of(const Extent& at) {
  return "(" + std::to_string(at.x) + "," + std::to_string(at.y) + "," + std::to_string(at.z) + ")";
}

}  // namespace

Block::Block(const Kernel& of_kernel, const LaunchShape& of_shape,
             const std::vector<uint8_t>& of_parameters, GlobalMemory& of_memory, uint64_t seed)
    : kernel(of_kernel),
      shape(of_shape),
      parameters(of_parameters),
      memory(of_memory),
      view(of_memory),
      random_(seed),
      shuffled_(seed != 0) {}

Extent Block::thread_of(unsigned warp, unsigned lane) const {
  const uint32_t index = warp * 32 + lane;
  return {index % shape.block.x, index / shape.block.x % shape.block.y,
          index / (shape.block.x * shape.block.y)};
}

void Block::fail(int code, const Warp* warp, unsigned lane, const std::string& what) {
  if (fault.code != 0) return;
  fault.code = code;
  fault.message = "kernel " + kernel.name + ", block " + text_of(place);
  if (warp != nullptr) fault.message += ", thread " + text_of(thread_of(warp->index, lane));
  fault.message += ": " + what;
  if (warp != nullptr && warp->current != nullptr) {
    fault.message += "; in '" + kernel.texts[warp->current->text] + "'";
  }
}

void Block::run(uint64_t number) {
  place = {static_cast<uint32_t>(number % shape.grid.x),
           static_cast<uint32_t>(number / shape.grid.x % shape.grid.y),
           static_cast<uint32_t>(number / shape.grid.x / shape.grid.y)};
  const auto threads = static_cast<unsigned>(shape.block.count());
  const unsigned count = (threads + 31) / 32;
  shared.begin(static_cast<uint32_t>(kernel.static_shared_bytes) + shape.dynamic_shared_bytes,
               count);
  warps_.resize(count);
  barriers_.fill({});
  for (unsigned i = 0; i < count; i++) warps_[i].start(*this, kernel, i, threads - i * 32);
  std::vector<unsigned> order(count);
  for (unsigned i = 0; i < count; i++) order[i] = i;
  int64_t left = shape.limit;
  for (bool running = true; running && fault.code == 0;) {
    running = false;
    if (shuffled_) std::shuffle(order.begin(), order.end(), random_);
    for (const unsigned i : order) {
      Warp& warp = warps_[i];
      if (warp.state != Warp::State::ready) continue;
      const int64_t slice = shuffled_ ? 1 + static_cast<int64_t>(random_() % kSlice) : kSlice;
      warp.run(slice);
      left -= slice;
      if (fault.code != 0) return;
      running = true;
      if (warp.state == Warp::State::done) check_barriers();
    }
    if (left < 0) fail(702, nullptr, 0, "the block does not end");
  }
  if (fault.code != 0) return;
  for (const Warp& warp : warps_) {
    if (warp.state == Warp::State::waiting) {
      return fail(719, &warp, static_cast<unsigned>(std::countr_zero(warp.live)),
                  "waits at a barrier that others do not come to");
    }
  }
}

unsigned Block::living() const {
  return static_cast<unsigned>(std::count_if(warps_.begin(), warps_.end(), [](const Warp& warp) {
    return warp.state != Warp::State::done;
  }));
}

void Block::check_barriers() {
  for (Barrier& barrier : barriers_) {
    if (barrier.arrived != 0 && barrier.expected == 0 && barrier.arrived >= living()) {
      complete(barrier);
    }
  }
}

void Block::arrive(Warp& warp, uint32_t id, uint32_t threads, bool wait, uint32_t predicate) {
  Barrier& barrier = barriers_[id];
  const uint32_t expected = threads / 32;
  if (barrier.arrived != 0 && barrier.expected != expected) {
    return fail(719, &warp, static_cast<unsigned>(std::countr_zero(warp.active)),
                "a barrier with another number of threads than those that wait there");
  }
  counters.barriers++;
  barrier.expected = expected;
  barrier.arrived++;
  const std::vector<uint32_t>& seen = shared.clocks(warp.index);
  barrier.clocks.resize(seen.size(), 0);
  for (size_t i = 0; i < seen.size(); i++) {
    barrier.clocks[i] = std::max(barrier.clocks[i], seen[i]);
  }
  shared.tick(warp.index);
  barrier.reduced_count += static_cast<uint64_t>(std::popcount(predicate));
  barrier.reduced_and = barrier.reduced_and && predicate == warp.active;
  barrier.reduced_or = barrier.reduced_or || predicate != 0;
  if (wait) {
    barrier.waiting.push_back(warp.index);
    warp.state = Warp::State::waiting;
  }
  if (barrier.arrived >= (expected == 0 ? living() : expected)) complete(barrier);
}

void Block::complete(Barrier& barrier) {
  for (const unsigned index : barrier.waiting) {
    Warp& warp = warps_[index];
    std::vector<uint32_t>& seen = shared.clocks(index);
    for (size_t i = 0; i < seen.size(); i++) seen[i] = std::max(seen[i], barrier.clocks[i]);
    warp.state = Warp::State::ready;
    const Op& op = *warp.current;
    if (op.dst_count == 0) continue;
    each_lane(warp.active, [&](unsigned lane) {
      uint32_t* out = warp.slot(op.dst[0]);
      if (op.mode == 2) {  // .popc
        put<uint32_t>(out, lane, static_cast<uint32_t>(barrier.reduced_count));
      } else {
        put<Bit>(out, lane, Bit{op.mode == 3 ? barrier.reduced_and : barrier.reduced_or});
      }
    });
  }
  barrier = {};
}

}  // namespace sqf

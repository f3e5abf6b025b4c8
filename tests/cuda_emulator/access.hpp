#pragma once

// Loads and stores of a warp's lanes in every space: addresses, what they resolve to, checks,
// counters.

#include <cstdint>

#include "tests/cuda_emulator/program.hpp"
#include "tests/cuda_emulator/warp.hpp"

namespace sqf {

struct Addresses {
  uint64_t of[32];
};
Addresses addresses_of(Warp& warp, const Op& op);  // from source 0 and op.offset

/// Space and offset in it of a generic address; others pass through.
struct Place {
  Space space;
  uint64_t address;
};
Place place_of(Space space, uint64_t address);

/// One lane's bytes; false where the launch has been stopped.
bool load(Warp& warp, unsigned lane, Place place, uint32_t bytes, void* out);
bool store(Warp& warp, unsigned lane, Place place, uint32_t bytes, const void* from);
/// Shared addresses: in bounds and aligned, or the launch is stopped.
bool check_shared(Warp& warp, unsigned lane, uint64_t address, uint32_t bytes, uint32_t align);
bool global_problem(Warp& warp, unsigned lane, uint64_t address, uint32_t bytes, int problem);

void count_global(Warp& warp, const Addresses& addresses, uint32_t active, uint32_t bytes,
                  bool writes);
void count_shared(Warp& warp, const Addresses& addresses, uint32_t active, uint32_t bytes);
/// Counts a request of the active lanes in whatever space it goes to.
void count_request(Warp& warp, const Op& op, const Addresses& addresses, uint32_t bytes,
                   bool writes);

}  // namespace sqf

#pragma once

// What a launch did, counted: operations by class, global traffic in bytes and 32-byte sectors,
// shared-memory wavefronts.

#include <array>
#include <cstdint>

#include "tests/cuda_emulator/program.hpp"

namespace sqf {

struct Traffic {
  uint64_t requests = 0;
  uint64_t bytes = 0;    // asked for by the lanes
  uint64_t sectors = 0;  // of 32 bytes, distinct within each request of a warp
};

struct Counters {
  std::array<uint64_t, static_cast<size_t>(OpClass::count_)> operations{};
  Traffic global_reads, global_writes, copies;  // copies: cp.async, counted in global_reads too
  uint64_t shared_requests = 0, shared_wavefronts = 0, bank_conflicts = 0;
  uint64_t matrix_products = 0, barriers = 0, divergent_branches = 0;

  void add(const Counters& other);
};

/// The wavefronts a warp's shared-memory request needs; `addresses` of the active lanes, each
/// `bytes` (1..16) wide. Four-byte requests are one pass of 32 lanes, eight-byte ones two of 16,
/// sixteen-byte ones four of 8; in a pass, words of one bank beyond the first cost a wavefront
/// each.
struct Wavefronts {
  uint64_t taken = 0, least = 0;
};
Wavefronts wavefronts_of(const uint32_t (&addresses)[32], uint32_t active, uint32_t bytes);

/// Distinct 32-byte sectors that the active lanes touch.
uint64_t sectors_of(const uint64_t (&addresses)[32], uint32_t active, uint32_t bytes);

}  // namespace sqf

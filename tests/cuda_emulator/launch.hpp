#pragma once

// One launch of a kernel, from the first block to the last, and the line that reports it.

#include <string>
#include <vector>

#include "tests/cuda_emulator/block.hpp"

namespace sqf {

struct LaunchResult {
  Fault fault;
  Counters counters;
  std::vector<ReadRange> reads;
};

/// Blocks one after another, or two at a time with `threads` 2; with a seed, in shuffled order.
LaunchResult run_launch(const Kernel& kernel, const LaunchShape& shape,
                        const std::vector<uint8_t>& parameters, GlobalMemory& memory, uint64_t seed,
                        unsigned threads);

/// Appends a line of JSON to `path`.
void report_launch(const std::string& path, const Kernel& kernel, const LaunchShape& shape,
                   const LaunchResult& result);

}  // namespace sqf

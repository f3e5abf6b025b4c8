#include "tests/cuda_emulator/launch.hpp"

#include <algorithm>
#include <atomic>
#include <fstream>
#include <numeric>
#include <sstream>
#include <thread>

namespace sqf {
namespace {

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out + "\"";
}

std::string text_of(const Extent& extent) {
  return "[" + std::to_string(extent.x) + "," + std::to_string(extent.y) + "," +
         std::to_string(extent.z) + "]";
}

void write_traffic(std::ostream& out, const char* name, const Traffic& traffic) {
  out << ",\"" << name << "\":{\"requests\":" << traffic.requests << ",\"bytes\":" << traffic.bytes
      << ",\"sectors\":" << traffic.sectors << "}";
}

}  // namespace

LaunchResult run_launch(const Kernel& kernel, const LaunchShape& shape,
                        const std::vector<uint8_t>& parameters, GlobalMemory& memory, uint64_t seed,
                        unsigned threads) {
  std::vector<uint64_t> order(shape.grid.count());
  std::iota(order.begin(), order.end(), uint64_t{0});
  if (seed != 0) {
    std::mt19937_64 random(seed);
    std::shuffle(order.begin(), order.end(), random);
  }
  std::atomic<size_t> next = 0;
  std::atomic<bool> stopped = false;
  std::vector<LaunchResult> parts(std::max(threads, 1u));
  const auto work = [&](unsigned worker) {
    Block block(kernel, shape, parameters, memory, seed == 0 ? 0 : seed + worker);
    while (!stopped.load(std::memory_order_relaxed)) {
      const size_t i = next.fetch_add(1, std::memory_order_relaxed);
      if (i >= order.size()) break;
      block.run(order[i]);
      if (block.fault.code != 0) stopped = true;
    }
    parts[worker].fault = block.fault;
    parts[worker].counters = block.counters;
  };
  std::vector<std::thread> others;
  for (unsigned worker = 1; worker < threads; worker++) others.emplace_back(work, worker);
  work(0);
  for (std::thread& other : others) other.join();
  LaunchResult result;
  for (const LaunchResult& part : parts) {
    if (result.fault.code == 0) result.fault = part.fault;
    result.counters.add(part.counters);
  }
  result.reads = memory.take_reads();
  return result;
}

void report_launch(const std::string& path, const Kernel& kernel, const LaunchShape& shape,
                   const LaunchResult& result) {
  std::ostringstream out;
  const Counters& counters = result.counters;
  uint64_t total = 0;
  for (const uint64_t count : counters.operations) total += count;
  out << "{\"kernel\":" << quoted(kernel.name) << ",\"grid\":" << text_of(shape.grid)
      << ",\"block\":" << text_of(shape.block)
      << ",\"shared_bytes\":" << kernel.static_shared_bytes + shape.dynamic_shared_bytes
      << ",\"error\":" << quoted(result.fault.message) << ",\"instructions\":" << total
      << ",\"classes\":{";
  for (size_t i = 0; i < counters.operations.size(); i++) {
    out << (i == 0 ? "" : ",") << "\"" << kOpClassNames[i] << "\":" << counters.operations[i];
  }
  out << "}";
  write_traffic(out, "global_reads", counters.global_reads);
  write_traffic(out, "global_writes", counters.global_writes);
  write_traffic(out, "async_copies", counters.copies);
  out << ",\"shared_requests\":" << counters.shared_requests
      << ",\"shared_wavefronts\":" << counters.shared_wavefronts
      << ",\"bank_conflicts\":" << counters.bank_conflicts
      << ",\"mma\":" << counters.matrix_products << ",\"barriers\":" << counters.barriers
      << ",\"divergent_branches\":" << counters.divergent_branches << ",\"reads\":[";
  for (size_t i = 0; i < result.reads.size(); i++) {
    const ReadRange& range = result.reads[i];
    out << (i == 0 ? "" : ",") << "{\"name\":" << quoted(range.name)
        << ",\"address\":" << range.address << ",\"size\":" << range.bytes
        << ",\"read_bytes\":" << range.read_bytes << ",\"unique_bytes\":" << range.unique_bytes
        << ",\"sectors\":" << range.fetched_sectors
        << ",\"unique_sectors\":" << range.unique_sectors << "}";
  }
  out << "]}\n";
  std::ofstream(path, std::ios::app) << out.str();
}

}  // namespace sqf

#include "tests/cuda_emulator/counters.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>

namespace sqf {
namespace {

void add_traffic(Traffic& to, const Traffic& from) {
  to.requests += from.requests;
  to.bytes += from.bytes;
  to.sectors += from.sectors;
}

uint64_t wavefronts_of_pass(const uint32_t* words, size_t count) {
  std::array<uint32_t, 128> sorted{};
  std::copy_n(words, count, sorted.begin());
  std::sort(sorted.begin(), sorted.begin() + static_cast<ptrdiff_t>(count));
  const auto end = std::unique(sorted.begin(), sorted.begin() + static_cast<ptrdiff_t>(count));
  std::array<uint64_t, 32> banks{};
  uint64_t most = 0;
  for (auto word = sorted.begin(); word != end; ++word) {
    most = std::max(most, ++banks[*word % 32]);
  }
  return most;
}

}  // namespace

void Counters::add(const Counters& other) {
  for (size_t i = 0; i < operations.size(); i++) operations[i] += other.operations[i];
  add_traffic(global_reads, other.global_reads);
  add_traffic(global_writes, other.global_writes);
  add_traffic(copies, other.copies);
  shared_requests += other.shared_requests;
  shared_wavefronts += other.shared_wavefronts;
  bank_conflicts += other.bank_conflicts;
  matrix_products += other.matrix_products;
  barriers += other.barriers;
  divergent_branches += other.divergent_branches;
}

Wavefronts wavefronts_of(const uint32_t (&addresses)[32], uint32_t active, uint32_t bytes) {
  const uint32_t words_each = std::max(bytes / 4, 1u);
  const unsigned lanes_each = 32 / words_each;
  Wavefronts out;
  for (unsigned first = 0; first < 32; first += lanes_each) {
    std::array<uint32_t, 128> words{};
    size_t count = 0;
    bool in_order = true;  // the usual case: consecutive words, no bank twice
    for (unsigned lane = first; lane < first + lanes_each; lane++) {
      if (((active >> lane) & 1) == 0) continue;
      for (uint32_t w = 0; w < words_each; w++) {
        const uint32_t word = addresses[lane] / 4 + w;
        in_order = in_order && (count == 0 || word == words[count - 1] + 1);
        words[count++] = word;
      }
    }
    if (count == 0) continue;
    out.least++;
    out.taken += in_order ? 1 : wavefronts_of_pass(words.data(), count);
  }
  return out;
}

uint64_t sectors_of(const uint64_t (&addresses)[32], uint32_t active, uint32_t bytes) {
  std::array<uint64_t, 64> sectors{};
  size_t count = 0;
  bool sorted = true;
  for (; active != 0; active &= active - 1) {
    const uint64_t address = addresses[std::countr_zero(active)];
    for (uint64_t sector = address / 32; sector <= (address + bytes - 1) / 32; sector++) {
      if (count > 0 && sector == sectors[count - 1]) continue;
      sorted = sorted && (count == 0 || sector > sectors[count - 1]);
      sectors[count++] = sector;
    }
  }
  if (sorted) return count;
  const auto end = sectors.begin() + static_cast<ptrdiff_t>(count);
  std::sort(sectors.begin(), end);
  return static_cast<uint64_t>(std::unique(sectors.begin(), end) - sectors.begin());
}

}  // namespace sqf

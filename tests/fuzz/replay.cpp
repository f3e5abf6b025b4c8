// Runs one target over files without libFuzzer: the committed corpus with any compiler.
//
// usage: fuzz_replay_NAME [--mutations N] FOLDER_OR_FILE...
//
// With --mutations each file is also run N times mutated by sqf_mutator.cpp (targets that have
// it), the same way every time. Exit 1: no file, or memory beyond the limit; a finding aborts.

#include <sys/resource.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "tests/fuzz/guard.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned seed);

#ifdef SQF_FUZZ_MUTATOR
/// In libFuzzer's place: a few bytes changed at random.
extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t) {
  static std::minstd_rand random(1);
  for (size_t i = 0; size > 0 && i < 1 + random() % 4; i++)
    data[random() % size] = static_cast<uint8_t>(random());
  return size;
}
#endif

namespace {

using Bytes = std::vector<uint8_t>;

void run_mutated([[maybe_unused]] const Bytes& bytes, [[maybe_unused]] unsigned mutations) {
#ifdef SQF_FUZZ_MUTATOR
  constexpr size_t kGrowth = 16384;
  for (unsigned seed = 0; seed < mutations; seed++) {
    Bytes mutated = bytes;
    mutated.resize(bytes.size() + kGrowth);
    mutated.resize(LLVMFuzzerCustomMutator(mutated.data(), bytes.size(), mutated.size(), seed));
    mutated.shrink_to_fit();
    LLVMFuzzerTestOneInput(mutated.data(), mutated.size());
  }
#endif
}

std::vector<std::filesystem::path> files_of(const std::filesystem::path& path) {
  if (!std::filesystem::is_directory(path)) return {path};
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(path))
    if (entry.is_regular_file()) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

/// 256 MiB and twice the largest input. Sanitizers need memory of their own.
bool memory_exceeded([[maybe_unused]] size_t largest) {
#if defined(__SANITIZE_ADDRESS__)
  return false;
#else
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  const uint64_t limit = (uint64_t{256} << 20) + 2 * largest;
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024 > limit;
#endif
}

}  // namespace

int main(int argc, char** argv) {
  size_t n_files = 0, largest = 0;
  unsigned mutations = 0;
  for (int i = 1; i < argc; i++) {
    if (std::string(argv[i]) == "--mutations" && i + 1 < argc) {
      mutations = static_cast<unsigned>(std::strtoul(argv[++i], nullptr, 10));
      continue;
    }
    for (const auto& path : files_of(argv[i])) {
      std::ifstream in(path, std::ios::binary);
      Bytes bytes{std::istreambuf_iterator<char>(in), {}};
      bytes.shrink_to_fit();
      std::printf("%s, %zu bytes\n", path.c_str(), bytes.size());
      std::fflush(stdout);
      LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
      run_mutated(bytes, mutations);
      largest = std::max(largest, bytes.size());
      n_files++;
      if (memory_exceeded(largest)) {
        std::printf("more than 256 MiB of memory, or twice the input\n");
        return 1;
      }
    }
  }
  std::printf("%zu files\n", n_files);
  return n_files > 0 ? 0 : 1;
}

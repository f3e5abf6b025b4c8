// What sqf_add_kernels() puts into a program: a fatbin per .cu, with every architecture, readable
// PTX, read-only.
#include "cuda/fatbins.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <fstream>
#include <string>

namespace sqf {
namespace {

std::string_view bytes_of(const Fatbin& fatbin) {
  return {reinterpret_cast<const char*>(fatbin.begin),
          static_cast<size_t>(fatbin.end - fatbin.begin)};
}

int count(std::string_view text, std::string_view word) {
  int found = 0;
  for (size_t at = text.find(word); at != text.npos; at = text.find(word, at + 1)) found++;
  return found;
}

TEST(Fatbins, AreOnePerSource) {
  ASSERT_EQ(fatbins().size(), 2u);
  EXPECT_EQ(fatbins()[0].name, "probe");
  EXPECT_EQ(fatbins()[1].name, "second");
  for (const Fatbin& fatbin : fatbins()) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(fatbin.begin) % 64, 0u);
    // fatbinary's header: magic, version and size of the header, size of the rest.
    struct {
      uint32_t magic;
      uint16_t version, header_bytes;
      uint64_t rest_bytes;
    } header;
    ASSERT_GT(bytes_of(fatbin).size(), sizeof(header));
    std::memcpy(&header, fatbin.begin, sizeof(header));
    EXPECT_EQ(header.magic, 0xba55ed50u);
    EXPECT_EQ(header.header_bytes + header.rest_bytes, bytes_of(fatbin).size());
  }
}

TEST(Fatbins, HoldMachineCodePerArchitectureAndOnePtx) {
  const std::string_view probe = bytes_of(fatbins()[0]);
  EXPECT_EQ(count(probe, "\177ELF"), SQF_CUDA_ARCH_COUNT);
  EXPECT_EQ(count(probe, ".target sm_80"), 1);
  EXPECT_EQ(count(probe, ".visible .entry reverse_256("), 1);
  EXPECT_EQ(count(probe, "1000800"), 1);  // __CUDA_ARCH__ and the header's offset
  EXPECT_EQ(count(bytes_of(fatbins()[1]), ".visible .entry twice("), 1);
}

TEST(Fatbins, CannotBeWrittenTo) {
  const auto address = reinterpret_cast<uintptr_t>(fatbins()[0].begin);
  std::ifstream maps("/proc/self/maps");
  if (!maps) GTEST_SKIP() << "no /proc";
  std::string line, access;
  while (std::getline(maps, line)) {
    size_t at = 0;
    const uintptr_t from = std::stoull(line, &at, 16);
    const uintptr_t to = std::stoull(line.substr(at + 1), nullptr, 16);
    if (from <= address && address < to) access = line.substr(line.find(' ') + 1, 4);
  }
  EXPECT_EQ(access, "r--p");
}

}  // namespace
}  // namespace sqf

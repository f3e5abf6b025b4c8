// A file of which some blocks never reached the disk reads as zeros there, as after a power failure
// on a preallocated file. No such file may pass, unless it is the file as it was written.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "format/validate.hpp"
#include "tests/loader/sample_file.hpp"

namespace sqf {
namespace {

constexpr size_t kBlock = 4096, kSector = 512;

/// 256 rows of 512 columns, twice: about 70 blocks of 4 KiB.
std::string whole_file() {
  const TemporaryFolder folder;
  DirectoryBuilder builder;
  const uint64_t shape[] = {256, 512};
  builder.tensor("half", shape, kNone, real_encoding(Element::f16));
  builder.tensor("q4", shape, kNone, affine_encoding(4, 32, Element::u8, true, ZeroKind::u4));
  const Directory directory = builder.finish();
  auto writer = Writer::create(
      folder / "m.sqf", directory,
      {{SectionKind::meta, kSampleMeta}, {SectionKind::tokn, std::string(20000, 't')}}, {});
  EXPECT_TRUE(writer);
  std::mt19937 random(11);
  for (ComponentRecord c : directory.components) {
    // Whole tiles of values, so none of these is padding.
    EXPECT_TRUE(writer->append(sample_bytes(c, random)));
  }
  EXPECT_TRUE(writer->finish());
  return read_file(folder / "m.sqf");
}

bool passes(const std::string& file) {
  const auto bytes = std::as_bytes(std::span(file.data(), file.size()));
  const auto head = read_head(bytes);
  return head && validate_data(*head, bytes, 1, nullptr).empty();
}

void lose(std::string* file, size_t offset, size_t size) {
  if (offset < file->size())
    std::fill_n(file->begin() + static_cast<std::ptrdiff_t>(offset),
                std::min(size, file->size() - offset), '\0');
}

TEST(TornWrite, EveryBlockIsMissed) {
  const std::string whole = whole_file();
  ASSERT_GT(whole.size(), 60 * kBlock);
  ASSERT_TRUE(passes(whole));
  size_t refused = 0;
  for (const size_t unit : {kSector, kBlock}) {
    for (size_t offset = 0; offset < whole.size(); offset += unit) {
      std::string torn = whole;
      lose(&torn, offset, unit);
      EXPECT_EQ(passes(torn), torn == whole) << unit << " bytes at " << offset;
      refused += torn != whole;
    }
  }
  EXPECT_GT(refused, whole.size() / kSector);
}

TEST(TornWrite, RandomBlocksAreMissed) {
  const std::string whole = whole_file();
  std::mt19937 random(12);
  int refused = 0;
  for (int round = 0; round < 4000; round++) {
    // From one block in sixteen to nearly all of them; the header is there in half of the rounds,
    // as if it had been written out of turn.
    std::string torn = whole;
    const unsigned share = 1u << random() % 5;
    for (size_t offset = 0; offset < whole.size(); offset += kBlock)
      if ((offset > 0 || round % 2 != 0) && random() % 16 < share) lose(&torn, offset, kBlock);
    ASSERT_EQ(passes(torn), torn == whole) << "round " << round;
    refused += torn != whole;
  }
  EXPECT_GT(refused, 3500);
}

TEST(TornWrite, ShorterFilesAreRefused) {
  const std::string whole = whole_file();
  for (size_t size = 0; size < whole.size(); size += kSector)
    EXPECT_FALSE(passes(whole.substr(0, size))) << size;
  EXPECT_FALSE(passes(whole.substr(0, whole.size() - 1)));
  EXPECT_FALSE(passes(whole + '\0'));
}

TEST(TornWrite, BlocksOfAnOlderFileAreMissed) {
  // A disk may also give back what stood there before.
  const std::string whole = whole_file();
  std::string other = whole;
  std::mt19937 random(13);
  for (char& c : other) c = static_cast<char>(random());
  for (size_t offset = 0; offset < whole.size(); offset += kBlock) {
    std::string torn = whole;
    torn.replace(offset, kBlock, other, offset, kBlock);
    EXPECT_FALSE(passes(torn)) << offset;
  }
}

}  // namespace
}  // namespace sqf

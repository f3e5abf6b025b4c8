// Which pages of a file are read: the head to open it, and with lazy verification the chunks that
// hold what is asked for. The kernel says so: resident pages of the mapping in /proc/self/smaps.
#include <sstream>

#include "sqf.h"
#include "tests/loader/sample_file.hpp"

namespace sqf {
namespace {

constexpr uint64_t kMebibyte = uint64_t{1} << 20;
// A fault maps the pages around it that are in memory already, in an aligned window of this size
// (fault_around_bytes, whose default nobody changes).
constexpr uint64_t kWindow = 65536;
constexpr uint64_t kTallRows = 1024, kWideColumns = 4096;  // f16: 8 MiB a tensor

/// Rewritten page by page: the kernel keeps what one call writes in folios of up to 2 MiB, and
/// newer ones map a whole folio at the touch of one page.
void copy_by_pages(const std::filesystem::path& from, const std::filesystem::path& to) {
  const std::string bytes = read_file(from);
  std::ofstream out;
  out.rdbuf()->pubsetbuf(nullptr, 0);
  out.open(to, std::ios::binary);
  for (size_t at = 0; at < bytes.size(); at += 4096)
    out.write(bytes.data() + at,
              static_cast<std::streamsize>(std::min<size_t>(4096, bytes.size() - at)));
  ASSERT_TRUE(out.good());
}

/// Three tensors of 8 MiB each.
void write_large(const std::filesystem::path& path) {
  DirectoryBuilder builder;
  const uint64_t shape[] = {kTallRows, kWideColumns};
  for (const char* name : {"a", "b", "c"})
    builder.tensor(name, shape, kNone, real_encoding(Element::f16));
  auto writer = Writer::create(path, builder.finish(), {{SectionKind::meta, kSampleMeta}}, {});
  ASSERT_TRUE(writer) << writer.error().message;
  const std::vector<std::byte> ones(kTallRows * kWideColumns * 2, std::byte{0x3c});
  for (int i = 0; i < 3; i++) ASSERT_TRUE(writer->append(ones));
  ASSERT_TRUE(writer->finish());
}

/// Bytes of the mappings of `path` that are resident, or -1 where the kernel does not say.
int64_t resident(const std::filesystem::path& path) {
  std::ifstream maps("/proc/self/smaps");
  const std::string name = std::filesystem::canonical(path).string();
  int64_t bytes = -1;
  bool ours = false;
  for (std::string line; std::getline(maps, line);) {
    std::istringstream words(line);
    std::string first;
    words >> first;
    if (first.find('-') != std::string::npos && first.back() != ':')
      ours = line.size() >= name.size() && line.ends_with(name);
    int64_t kilobytes = 0;
    if (ours && first == "Rss:" && words >> kilobytes)
      bytes = std::max<int64_t>(bytes, 0) + kilobytes * 1024;
  }
  return bytes;
}

class TouchedPages : public testing::Test {
 protected:
  void SetUp() override {
    write_large(folder_ / "written.sqf");
    copy_by_pages(folder_ / "written.sqf", path_);
  }
  void TearDown() override { sqf_close(file_); }

  void open(int verify) {
    sqf_error error;
    ASSERT_EQ(sqf_open(path_.c_str(), verify, &file_, &error), SQF_OK) << error.message;
    ASSERT_EQ(sqf_get_info(file_, &info_, nullptr), SQF_OK);
    ASSERT_GT(info_.file_bytes - info_.data_offset, 16 * kMebibyte);
    ASSERT_EQ(info_.chunk_bytes, kMebibyte);
    if (resident(path_) < 0) GTEST_SKIP() << "no /proc/self/smaps";
  }
  uint64_t now() const { return static_cast<uint64_t>(resident(path_)); }

  TemporaryFolder folder_;
  std::filesystem::path path_ = folder_ / "large.sqf";
  sqf_file* file_ = nullptr;
  sqf_info info_ = {};
};

TEST_F(TouchedPages, OpeningReadsTheHead) {
  for (int verify : {SQF_VERIFY_HEAD, SQF_VERIFY_LAZY}) {
    open(verify);
    if (IsSkipped()) return;
    EXPECT_GE(now(), 4096u);
    EXPECT_LE(now(), info_.data_offset + kWindow);
    sqf_close(file_);
    file_ = nullptr;
  }
}

TEST_F(TouchedPages, VerifyingReadsEverything) {
  open(SQF_VERIFY_FULL);
  if (IsSkipped()) return;
  EXPECT_GE(now(), 24 * kMebibyte);
}

TEST_F(TouchedPages, ALazyRowReadsItsChunk) {
  open(SQF_VERIFY_LAZY);
  if (IsSkipped()) return;
  std::vector<float> row(kWideColumns);
  // 8 KiB rows, 1 MiB chunks from DATA's start on: row 1000 of "b" is in the last chunk of "b".
  ASSERT_EQ(sqf_dequantize(file_, 1, 0, 1000, 1, row.data(), nullptr), SQF_OK);
  EXPECT_EQ(row[17], 1.05859375f);  // 0x3c3c
  EXPECT_GE(now(), kMebibyte);
  EXPECT_LE(now(), info_.data_offset + kMebibyte + 3 * kWindow);
}

TEST_F(TouchedPages, ALazyTensorReadsItsChunks) {
  open(SQF_VERIFY_LAZY);
  if (IsSkipped()) return;
  std::vector<float> all(kTallRows * kWideColumns);
  ASSERT_EQ(sqf_dequantize(file_, 1, 0, 0, kTallRows, all.data(), nullptr), SQF_OK);
  EXPECT_GE(now(), 8 * kMebibyte);
  EXPECT_LE(now(), info_.data_offset + 8 * kMebibyte + 3 * kWindow);
}

TEST_F(TouchedPages, WithoutVerificationARowReadsItsTile) {
  open(SQF_VERIFY_HEAD);
  if (IsSkipped()) return;
  std::vector<float> row(kWideColumns);
  ASSERT_EQ(sqf_dequantize(file_, 1, 0, 1000, 1, row.data(), nullptr), SQF_OK);
  EXPECT_LE(now(), info_.data_offset + 16 * kWideColumns * sizeof(uint16_t) + 3 * kWindow);
}

TEST_F(TouchedPages, DamageElsewhereDoesNotMatterToALazyRow) {
  std::string bytes = read_file(path_);
  bytes[bytes.size() - 1] ^= 1;
  write_file(folder_ / "damaged.sqf", bytes);
  ASSERT_EQ(sqf_open((folder_ / "damaged.sqf").c_str(), SQF_VERIFY_LAZY, &file_, nullptr), SQF_OK);
  std::vector<float> row(kWideColumns);
  EXPECT_EQ(sqf_dequantize(file_, 2, 0, 0, 1, row.data(), nullptr), SQF_OK);
  EXPECT_EQ(sqf_dequantize(file_, 2, 0, kTallRows - 1, 1, row.data(), nullptr),
            SQF_ERROR_MALFORMED);
  EXPECT_EQ(sqf_dequantize(file_, 2, 0, kTallRows - 129, 1, row.data(), nullptr), SQF_OK);
}

}  // namespace
}  // namespace sqf

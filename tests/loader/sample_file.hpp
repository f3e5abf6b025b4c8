#pragma once
// A small file with every kind of component that the writer makes, for tests that damage it.

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "format/part.hpp"
#include "format/writer.hpp"

namespace sqf {

/// A folder of its own for one test, removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "sqf-test-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline constexpr const char* kSampleMeta =
    R"({"format":{"spec":"1.0","writer":"test"},"model":{},"quantization":{},"source":{}})";

/// Random bytes for one component that break no value rule: scales small, padding zero.
inline std::vector<std::byte> sample_bytes(const ComponentRecord& c, std::mt19937& random) {
  std::vector<std::byte> bytes(c.size);
  if (c.packing == Packing::tile16_codes || c.element == Element::u4 || c.element == Element::u8)
    for (auto& b : bytes) b = static_cast<std::byte>(random());
  if (c.element == Element::f16)
    for (size_t i = 1; i < bytes.size(); i += 2) bytes[i] = static_cast<std::byte>(random() % 0x60);
  if (c.element == Element::f32)
    for (size_t i = 3; i < bytes.size(); i += 4) bytes[i] = static_cast<std::byte>(random() % 0x40);
  return bytes;
}

/// 32 rows and 64 columns: nothing needs padding, so random codes are valid.
inline Directory sample_directory() {
  DirectoryBuilder builder;
  InputRecord input = {};
  input.columns = 64;
  input.smooth = kNone;
  input.set_count = 1;
  input.sets[0].kind = ColumnKind::all;
  input.sets[0].count = 64;
  input.sets[0].columns = kNone;
  const uint32_t in = builder.input(input);
  const uint64_t shape[] = {32, 64};
  const uint64_t vector[] = {64};
  builder.tensor("norm", vector, kNone, real_encoding(Element::f32));
  builder.tensor("q4", shape, in, affine_encoding(4, 32, Element::u8, true, ZeroKind::u4));
  builder.tensor("q7", shape, in, affine_encoding(7, 64, Element::f16, false, ZeroKind::u8), true);
  builder.tensor("half", shape, in, real_encoding(Element::f16));
  return builder.finish();
}

inline Result<void> write_sample(const std::filesystem::path& path,
                                 const WriterOptions& options = {}) {
  auto writer =
      Writer::create(path, sample_directory(),
                     {{SectionKind::meta, kSampleMeta}, {SectionKind::tokn, "{}"}}, options);
  if (!writer) return writer.error();
  std::mt19937 random(7);
  for (const ComponentRecord& c : sample_directory().components)
    if (auto r = writer->append(sample_bytes(c, random)); !r) return r;
  return writer->finish();
}

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline void write_file(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

}  // namespace sqf

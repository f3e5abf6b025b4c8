// GGUF's block types against what the gguf package reads in them (data/gguf_blocks).
#include "converter/gguf_blocks.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>

#include "converter/convert.hpp"
#include "loader/dequantize.hpp"
#include "tests/loader/sample_file.hpp"

namespace sqf {
namespace {

constexpr int64_t kSampleColumns = 512;

struct Sample {
  SourceType type = SourceType::f32;
  std::vector<std::byte> blocks;
  std::vector<float> values;
};

std::vector<Sample> samples() {
  std::ifstream in(SQF_TEST_DATA "/gguf_blocks/blocks.bin", std::ios::binary);
  std::vector<Sample> out;
  for (int i = kPlainSourceTypes; i < kSourceTypes; i++) {
    Sample s;
    s.type = static_cast<SourceType>(i);
    s.blocks.resize(
        static_cast<size_t>(kSampleColumns / block_columns(s.type) * block_bytes(s.type)));
    s.values.resize(kSampleColumns);
    in.read(reinterpret_cast<char*>(s.blocks.data()),
            static_cast<std::streamsize>(s.blocks.size()));
    in.read(reinterpret_cast<char*>(s.values.data()), kSampleColumns * sizeof(float));
    out.push_back(std::move(s));
  }
  EXPECT_TRUE(in.good() && in.peek() == EOF) << "blocks.bin has another size";
  return out;
}

SourceTensor tensor_of(const Sample& sample) {
  SourceTensor out;
  out.name = "w";
  out.type = sample.type;
  out.shape = {1, kSampleColumns};
  out.bytes = sample.blocks;
  return out;
}

TEST(GgufBlocks, HoldWhatTheirLibraryReads) {
  for (const Sample& sample : samples()) {
    std::vector<float> got(kSampleColumns);
    read_rows(tensor_of(sample), 0, 1, got.data());
    for (size_t i = 0; i < kSampleColumns; i++)
      ASSERT_EQ(got[i], sample.values[i]) << source_type_name(sample.type) << " column " << i;
  }
}

/// `sample` carried over to a file and read back.
Result<std::vector<float>> kept(const Sample& sample, const EncodingRecord& encoding) {
  const TemporaryFolder folder;
  const SourceTensor tensor = tensor_of(sample);
  TensorPlan t;
  t.spec.name = tensor.name;
  t.spec.rows = 1;
  t.spec.columns = kSampleColumns;
  t.spec.layer = t.spec.input = -1;
  t.source = &tensor;
  t.method = Method::keep;
  t.encoding = encoding;
  Plan plan;
  plan.tensors.push_back(t);
  if (auto r = convert({}, plan, folder / "m.sqf", {}); !r) return r.error();
  auto file = ModelFile::open(folder / "m.sqf");
  if (!file) return file.error();
  std::vector<float> out(kSampleColumns);
  if (auto r = effective(*file, *file->find("w"), {0, 0, 1}, out.data()); !r) return r.error();
  return out;
}

TEST(GgufBlocks, KeepTheirCodes) {
  int exact = 0, rounded = 0;
  for (const Sample& sample : samples()) {
    const auto encoding = kept_encoding(sample.type);
    if (!encoding) continue;
    ASSERT_FALSE(encoding_problem(*encoding)) << describe(*encoding);
    const auto got = kept(sample, *encoding);
    ASSERT_TRUE(got) << got.error().message;
    const BlockFormat& format = block_format(sample.type);
    const bool products = format.columns == 256;  // their scales are products, which f16 rounds
    (products ? rounded : exact)++;
    BlockGroup groups[kMaxGroupsOfBlock];
    for (int i = 0; i < kSampleColumns; i++) {
      const auto column = static_cast<size_t>(i);
      const std::string where =
          std::string(format.name) + " column " + std::to_string(i) + ", " + describe(*encoding);
      if (!products) {
        ASSERT_EQ((*got)[column], sample.values[column]) << where;
        continue;
      }
      format.unpack(sample.blocks.data() + i / 256 * format.bytes, groups);
      const BlockGroup& group = groups[i % 256 / 32];
      const float minimum = format.has_minimum ? group.minimum : 0;
      const double code = std::fabs((sample.values[column] - minimum) / group.scale);
      // Half of f16's last place, for scale and minimum; below 2^-14 that is 2^-25.
      const auto half_place = [](double v) { return std::max(std::fabs(v) * 0x1p-11, 0x1p-25); };
      const double bound = half_place(group.scale) * code +
                           (format.has_minimum ? half_place(minimum) : 0) +
                           std::fabs(sample.values[column]) * 0x1p-22;
      ASSERT_LE(std::fabs((*got)[column] - sample.values[column]), bound) << where;
    }
  }
  EXPECT_EQ(exact, 6);
  EXPECT_EQ(rounded, 3);
}

/// f16 ends at 65504, products of two scales do not; a block's own scale may be NaN.
TEST(GgufBlocks, ScalesThatF16CannotHold) {
  for (Sample& sample : samples()) {
    if (sample.type != SourceType::q4_K && sample.type != SourceType::q8_0) continue;
    const uint16_t bad = sample.type == SourceType::q4_K ? 0x7bff : 0x7e00;  // 65504, NaN
    std::memcpy(sample.blocks.data(), &bad, sizeof bad);
    const auto got = kept(sample, *kept_encoding(sample.type));
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code, Code::malformed);
    EXPECT_NE(
        got.error().message.find("column 0 begins a group whose scale or minimum is no finite f16"),
        std::string::npos)
        << got.error().message;
  }
}

}  // namespace
}  // namespace sqf

// The conversion's one seam to the outside: progress, by which it is also stopped.
#include "converter/convert.hpp"

#include <gtest/gtest.h>

#include <cstring>

#include "tests/loader/sample_file.hpp"

namespace sqf {
namespace {

constexpr int64_t kRows = 1600, kColumns = 64, kTiles = kRows / 16;

/// One matrix of 100 tiles, and a plan to round it.
struct OneTensor {
  OneTensor() {
    std::mt19937 random(5);
    std::vector<float> values(kRows * kColumns);
    for (float& v : values) v = static_cast<float>(random() % 2001) / 1000.0f - 1.0f;
    std::memcpy(bytes.data(), values.data(), bytes.size());
    tensor.name = "w";
    tensor.shape = {kRows, kColumns};
    tensor.bytes = bytes;
    TensorPlan t;
    t.spec.name = tensor.name;
    t.spec.rows = kRows;
    t.spec.columns = kColumns;
    t.spec.layer = t.spec.input = -1;
    t.source = &tensor;
    t.method = Method::rtn;
    t.range = Range::minmax;
    t.encoding = affine_encoding(4, 32, Element::u8, true, ZeroKind::u4);
    plan.tensors.push_back(t);
    plan.source_bytes = bytes.size();
  }
  std::vector<std::byte> bytes = std::vector<std::byte>(kRows * kColumns * sizeof(float));
  SourceTensor tensor;
  SourceModel source;
  Plan plan;
};

TEST(Convert, ProgressComesBetweenTilesAndOnlyRises) {
  const TemporaryFolder folder;
  OneTensor one;
  for (const int threads : {1, 4}) {
    std::vector<uint64_t> seen;
    ConvertOptions options;
    options.threads = threads;
    options.replace = true;
    options.progress = [&](uint64_t done, uint64_t total, const std::string& name) {
      EXPECT_EQ(total, one.bytes.size());
      EXPECT_EQ(name, "w");
      seen.push_back(done);
      return true;
    };
    ASSERT_TRUE(convert(one.source, one.plan, folder / "m.sqf", options));
    EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
    EXPECT_EQ(seen.back(), one.bytes.size());
    if (threads == 1) {
      EXPECT_GE(seen.size(), static_cast<size_t>(kTiles));
    }
  }
}

TEST(Convert, StopsWhereItIsTold) {
  const TemporaryFolder folder;
  OneTensor one;
  for (const int threads : {1, 4}) {
    for (const int stop : {1, 2, 50, 100, 101, 102}) {
      // With several threads the caller's own may meet fewer tiles.
      int calls = 0;
      ConvertOptions options;
      options.threads = threads;
      options.progress = [&](uint64_t, uint64_t, const std::string&) { return ++calls < stop; };
      auto r = convert(one.source, one.plan, folder / "m.sqf", options);
      if (threads == 1 || stop == 1) {
        ASSERT_FALSE(r);
        EXPECT_EQ(calls, stop);
      }
      if (!r) {
        EXPECT_EQ(r.error().code, Code::interrupted);
        EXPECT_NE(r.error().message.find("nothing was written"), std::string::npos);
      } else {
        std::filesystem::remove(folder / "m.sqf");
      }
      EXPECT_TRUE(std::filesystem::is_empty(folder.path())) << threads << ' ' << stop;
    }
  }
}

}  // namespace
}  // namespace sqf

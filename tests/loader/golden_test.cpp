// The committed golden files: they open, every rule holds, and each tensor's weights are the ones
// that a decoder of another make (tests/golden/decoder.py) found in them, bit for bit.
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "format/hash.hpp"
#include "format/json.hpp"
#include "loader/dequantize.hpp"

namespace sqf {
namespace {

std::filesystem::path folder() {
  return std::filesystem::path(SQF_TEST_DATA).parent_path() / "golden" / "good";
}

Json expectations() {
  std::ifstream in(folder() / "expected.json");
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  auto json = parse_json(text, "expected.json");
  EXPECT_TRUE(json) << json.error().message;
  return json ? *json : Json::object();
}

using Meaning = Result<void> (*)(const ModelFile&, const TensorView&, const RowRange&, float*);

/// XXH3-64, in hex, of the f32 [experts][rows][columns].
std::string hash_of(Meaning meaning, const ModelFile& file, const TensorView& tensor) {
  const MatrixShape m = tensor.shape;
  std::vector<float> values(m.experts * m.rows * m.columns);
  for (uint64_t e = 0; e < m.experts; e++) {
    auto r = meaning(file, tensor, {e, 0, m.rows}, values.data() + e * m.rows * m.columns);
    EXPECT_TRUE(r) << r.error().message;
  }
  char hex[17];
  std::snprintf(hex, sizeof hex, "%016llx",
                static_cast<unsigned long long>(hash_bytes(std::as_bytes(std::span(values)))));
  return hex;
}

TEST(Golden, GoodFilesMeanWhatTheyMeant) {
  size_t tensors = 0;
  const Json all = expectations();
  for (const auto& [name, expected] : all.items()) {
    SCOPED_TRACE(name);
    auto file = ModelFile::open(folder() / name);
    ASSERT_TRUE(file) << file.error().message;
    for (const Error& e : file->verify(10)) ADD_FAILURE() << e.message;
    ASSERT_EQ(file->tensor_count(), expected.size());
    for (size_t i = 0; i < file->tensor_count(); i++) {
      const TensorView tensor = file->tensor(i);
      SCOPED_TRACE(tensor.name);
      const Json& wanted = expected[std::string(tensor.name)];
      EXPECT_EQ(hash_of(dequantize, *file, tensor), wanted["dequantized"]["xxh3_64"]);
      EXPECT_EQ(hash_of(effective, *file, tensor), wanted["effective"]["xxh3_64"]);
      tensors++;
    }
  }
  EXPECT_GE(tensors, 125u);
}

}  // namespace
}  // namespace sqf

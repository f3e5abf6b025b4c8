// The C interface on damaged files, on any bytes, from callbacks and from several threads.
#include <atomic>
#include <random>
#include <stdexcept>
#include <thread>

#include "format/rules.hpp"
#include "tests/loader/c_interface.hpp"

namespace sqf {
namespace {

TEST_F(CInterface, DamageIsFoundWhenTheModeSaysSo) {
  const uint64_t last = std::filesystem::file_size(path_) - 1;
  std::vector<float> out(kColumns);
  {
    Handle h(damaged(last), SQF_VERIFY_HEAD);  // the bias: dequantize does not read it
    ASSERT_EQ(h.code, SQF_OK);
    EXPECT_EQ(sqf_dequantize(h.file, 0, 0, 0, 1, out.data(), nullptr), SQF_OK);
    sqf_error e;
    int findings = 0;
    const auto count = [](void* context, const sqf_error* finding) {
      EXPECT_GE(finding->rule, 502u);
      ++*static_cast<int*>(context);
      return 0;
    };
    EXPECT_EQ(sqf_verify(h.file, nullptr, count, &findings, &e), SQF_ERROR_MALFORMED);
    EXPECT_EQ(e.rule, 502u);
    EXPECT_EQ(findings, 2);  // the chunk and the component
  }
  {
    Handle h(damaged(last), SQF_VERIFY_LAZY);
    ASSERT_EQ(h.code, SQF_OK);
    sqf_error e;
    for (int i = 0; i < 2; i++) {  // once failed, failed for good
      EXPECT_EQ(sqf_dequantize(h.file, 0, 0, 0, 1, out.data(), &e), SQF_ERROR_MALFORMED);
      EXPECT_EQ(e.rule, 502u);
      EXPECT_STREQ(e.tensor, "w");
    }
    sqf_component c;
    EXPECT_EQ(sqf_tensor_component(h.file, 0, SQF_ROLE_BIAS, &c, nullptr), SQF_ERROR_MALFORMED);
    sqf_input in;
    EXPECT_EQ(sqf_get_input(h.file, 0, &in, nullptr), SQF_ERROR_MALFORMED);
    sqf_tensor t;
    EXPECT_EQ(sqf_get_tensor(h.file, 0, &t, nullptr), SQF_OK);  // of the head alone
  }
  Handle h(damaged(last), SQF_VERIFY_FULL);
  EXPECT_EQ(h.code, SQF_ERROR_MALFORMED);
  EXPECT_EQ(h.error.rule, 502u);
  EXPECT_EQ(h.file, nullptr);
}

// Without verification anything may stand in DATA. Nothing that follows leaves the file.
TEST_F(CInterface, AnyTensorBytesAreSafe) {
  const std::string good = read_file(path_);
  std::mt19937 random(3);
  int refused = 0;
  for (int round = 0; round < 300; round++) {
    std::string bytes = good;
    for (size_t i = data_offset(); i < bytes.size(); i++)
      if (round % 2 == 0 || random() % 64 == 0) bytes[i] = static_cast<char>(random());
    write_file(folder_ / "random.sqf", bytes);
    Handle h(folder_ / "random.sqf", SQF_VERIFY_HEAD);
    ASSERT_EQ(h.code, SQF_OK);
    std::vector<float> out(kRows * kColumns);
    std::vector<uint64_t> columns(kColumns);
    sqf_error e;
    const sqf_code code = sqf_effective(h.file, 0, 2, 0, kRows, out.data(), &e);
    const sqf_code listed = sqf_part_columns(h.file, 0, 1, columns.data(), nullptr);
    ASSERT_EQ(code, listed);
    if (code != SQF_OK) {
      ASSERT_EQ(e.rule, static_cast<uint32_t>(Rule::column_list));
      refused++;
    }
    sqf_input in;
    ASSERT_EQ(sqf_get_input(h.file, 0, &in, nullptr), SQF_OK);
    ASSERT_EQ(sqf_verify(h.file, nullptr, nullptr, nullptr, nullptr), SQF_ERROR_MALFORMED);
  }
  EXPECT_GT(refused, 150);
  EXPECT_LT(refused, 300);
}

TEST_F(CInterface, CallbacksStopAndMayThrow) {
  Handle h(path_, SQF_VERIFY_HEAD);
  sqf_error e;
  uint64_t seen = 0;
  const auto watch = [](void* context, uint64_t done, uint64_t total) {
    EXPECT_LE(done, total);
    *static_cast<uint64_t*>(context) = done;
    return 0;
  };
  EXPECT_EQ(sqf_verify(h.file, watch, nullptr, &seen, &e), SQF_OK);
  EXPECT_EQ(seen, std::filesystem::file_size(path_) - data_offset());
  const auto stop = [](void*, uint64_t, uint64_t) { return 1; };
  EXPECT_EQ(sqf_verify(h.file, stop, nullptr, nullptr, &e), SQF_ERROR_INTERRUPTED);
  const auto fail = [](void*, uint64_t, uint64_t) -> int { throw std::runtime_error("boom"); };
  EXPECT_EQ(sqf_verify(h.file, fail, nullptr, nullptr, &e), SQF_ERROR_IO);
  EXPECT_STREQ(e.message, "boom");
  const auto exhaust = [](void*, uint64_t, uint64_t) -> int { throw std::bad_alloc(); };
  EXPECT_EQ(sqf_verify(h.file, exhaust, nullptr, nullptr, &e), SQF_ERROR_IO);
  EXPECT_STREQ(e.message, "out of memory");
}

TEST_F(CInterface, EightThreadsOnOneFile) {
  Handle h(path_, SQF_VERIFY_LAZY);
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (uint32_t thread = 0; thread < 8; thread++)
    threads.emplace_back([&, thread] {
      std::vector<float> out(kColumns);
      for (uint32_t i = 0; i < 100; i++) {
        const uint32_t expert = (thread + i) % 3, row = (thread * 5 + i) % kRows;
        if (sqf_dequantize(h.file, 0, expert, row, 1, out.data(), nullptr) != SQF_OK) wrong++;
        for (uint32_t c = 0; c < kColumns; c++) wrong += out[c] != made_.weight(expert, row, c);
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace sqf

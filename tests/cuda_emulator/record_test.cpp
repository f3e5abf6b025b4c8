// The recording kernels hold what the list says, one each.
#include <gtest/gtest.h>

#include <string>

#include "cuda/fatbins.hpp"
#include "tests/cuda_emulator/matrix_list.hpp"

namespace sqf {
namespace {

struct Kernel {
  std::string name, instruction;
};

#define SQF_MMA(name, suffix, a, b, c) {#name, "mma.sync.aligned." suffix " "},
#define SQF_LOAD(name, suffix, count) {#name, "ldmatrix.sync.aligned.m8n8."},
const Kernel kKernels[] = {SQF_MMA_LIST(SQF_MMA) SQF_LDMATRIX_LIST(SQF_LOAD)};
#undef SQF_MMA
#undef SQF_LOAD

TEST(Record, HasAKernelPerInstruction) {
  ASSERT_EQ(fatbins().size(), 1u);
  const Fatbin& fatbin = fatbins()[0];
  const std::string_view bytes(reinterpret_cast<const char*>(fatbin.begin),
                               static_cast<size_t>(fatbin.end - fatbin.begin));
  for (const Kernel& kernel : kKernels) {
    const size_t from = bytes.find(".visible .entry record_" + kernel.name + '(');
    ASSERT_NE(from, bytes.npos) << kernel.name;
    const std::string_view body = bytes.substr(from, bytes.find("ret;", from) - from);
    EXPECT_NE(body.find(kernel.instruction), body.npos) << kernel.name;
  }
}

}  // namespace
}  // namespace sqf

// The environment may lower the instruction set, never raise it.
#include "runtime/cpu/isa.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace sqf {
namespace {

class IsaVariable : public testing::Test {
 protected:
  ~IsaVariable() override { unsetenv("SQF_ISA"); }
  static Isa with(const char* value) {
    setenv("SQF_ISA", value, 1);
    return best_isa();
  }
};

TEST_F(IsaVariable, LowersOnly) {
  unsetenv("SQF_ISA");
  EXPECT_EQ(best_isa(), detected_isa());
  EXPECT_EQ(with("scalar"), Isa::scalar);
  EXPECT_EQ(with("avx2"), std::min(detected_isa(), Isa::avx2));
  EXPECT_EQ(with("avx512"), detected_isa());
  EXPECT_EQ(with("neon"), detected_isa());
}

}  // namespace
}  // namespace sqf

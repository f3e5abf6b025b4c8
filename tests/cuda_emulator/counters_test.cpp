#include "tests/cuda_emulator/counters.hpp"

#include "tests/cuda_emulator/test_device.hpp"

// Counts of patterns whose sectors and wavefronts are known.

namespace sqf {
namespace {

TEST(EmulatorCounters, WavefrontsOfSharedAccesses) {
  const auto extra = [](uint32_t bytes, uint32_t stride, uint32_t active = 0xffffffff) {
    uint32_t addresses[32];
    for (uint32_t lane = 0; lane < 32; lane++) addresses[lane] = lane * stride;
    const Wavefronts found = wavefronts_of(addresses, active, bytes);
    return found.taken - found.least;
  };
  EXPECT_EQ(extra(4, 4), 0u);
  EXPECT_EQ(extra(4, 0), 0u);     // one word for all
  EXPECT_EQ(extra(2, 2), 0u);     // two lanes in a word
  EXPECT_EQ(extra(4, 8), 1u);     // every second bank: two words each
  EXPECT_EQ(extra(4, 128), 31u);  // one bank
  EXPECT_EQ(extra(4, 132), 0u);   // padded rows
  EXPECT_EQ(extra(8, 8), 0u);     // two passes of 16 lanes are the least
  EXPECT_EQ(extra(8, 16), 2u);
  EXPECT_EQ(extra(16, 16), 0u);    // four passes of 8
  EXPECT_EQ(extra(16, 128), 28u);  // rows of 128 bytes: 8 in each pass
  EXPECT_EQ(extra(16, 144), 0u);   // padded by 16
  EXPECT_EQ(extra(16, 64), 12u);
  EXPECT_EQ(extra(4, 128, 0xf), 3u);
}

TEST(EmulatorCounters, SectorsOfGlobalAccesses) {
  const auto count = [](uint32_t bytes, uint64_t stride, uint64_t base = 0) {
    uint64_t addresses[32];
    for (uint64_t lane = 0; lane < 32; lane++) addresses[lane] = base + lane * stride;
    return sectors_of(addresses, 0xffffffff, bytes);
  };
  EXPECT_EQ(count(4, 4), 4u);
  EXPECT_EQ(count(4, 4, 16), 5u);
  EXPECT_EQ(count(16, 16), 16u);
  EXPECT_EQ(count(4, 32), 32u);
  EXPECT_EQ(count(1, 0), 1u);
  uint64_t back[32];
  for (uint64_t lane = 0; lane < 32; lane++) back[lane] = (31 - lane) * 4;
  EXPECT_EQ(sectors_of(back, 0xffffffff, 4), 4u);
}

TEST(EmulatorCounters, ALaunchIsReported) {
  TestDevice device;
  const CUdeviceptr in = device.up(std::vector<uint32_t>(1024, 1)), out = device.room(4096);
  sqf_emulator_tag(in + 1024, 512, "weights");
  // Two blocks of 64 threads: each reads words 256..319 of `in` (the tag) and every eighth word
  // from 512 on.
  const std::string body = R"(
    mov.u32 %r2, %ctaid.x; mad.lo.u32 %r3, %r2, 64, %r0;)" +
                           element(10, 0, "%r3") + element(11, 1) + R"(
    ld.global.u32 %r4, [%rd11+1024]; mul.wide.u32 %rd5, %r1, 32; add.u64 %rd5, %rd5, %rd1;
    ld.global.u32 %r5, [%rd5+2048]; add.u32 %r4, %r4, %r5; st.global.u32 [%rd10], %r4;)";
  ASSERT_EQ(device.run(kernel_of(2, body), 2, 64, {out, in}), CUDA_SUCCESS) << device.error();
  const Json report = device.report();
  EXPECT_EQ(report["kernel"], "k");
  EXPECT_EQ(report["grid"], Json::parse("[2,1,1]"));
  EXPECT_EQ(report["global_reads"]["requests"], 8);
  EXPECT_EQ(report["global_reads"]["bytes"], 2 * 64 * 8);
  EXPECT_EQ(report["global_reads"]["sectors"], 4 * (4 + 32));
  EXPECT_EQ(report["global_writes"]["sectors"], 4 * 4);
  EXPECT_EQ(report["classes"]["global"], 12);
  ASSERT_EQ(report["reads"].size(), 1u);
  const Json& weights = report["reads"][0];
  EXPECT_EQ(weights["name"], "weights");
  EXPECT_EQ(weights["read_bytes"], 512);  // by two blocks
  EXPECT_EQ(weights["unique_bytes"], 256);
  EXPECT_EQ(weights["sectors"], 16);
  EXPECT_EQ(weights["unique_sectors"], 8);
}

TEST(EmulatorCounters, ReadsAreOfOneLaunch) {
  TestDevice device;
  const CUdeviceptr in = device.up(std::vector<uint32_t>(64, 1)), out = device.room(128);
  const std::string ptx =
      kernel_of(2, element(10, 0) + element(11, 1) +
                       "ld.global.u32 %r2, [%rd11]; st.global.u32 [%rd10], %r2;");
  ASSERT_EQ(device.run(ptx, 1, 32, {out, in}), CUDA_SUCCESS);
  ASSERT_EQ(device.launch(1, 32, {out, in}), CUDA_SUCCESS);
  EXPECT_EQ(device.report()["reads"][0]["read_bytes"], 128);
  EXPECT_EQ(device.report()["reads"][0]["unique_bytes"], 128);
  EXPECT_EQ(device.report()["reads"][0]["size"], 256);
}

}  // namespace
}  // namespace sqf

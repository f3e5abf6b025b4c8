#include "tests/cuda_emulator/test_device.hpp"

// Every check finds its mistake in a kernel that has it, and nothing in the twin that does not.

namespace sqf {
namespace {

constexpr const char* kTile = ".shared .align 16 .b8 tile[4096];";

/// %r2: the shared address of this thread's word; %r3: of the next warp's.
const std::string kPlaces =
    "shl.b32 %r2, %r0, 2; mov.u32 %r4, tile; add.u32 %r2, %r2, %r4; xor.b32 %r3, %r0, 32;"
    "shl.b32 %r3, %r3, 2; add.u32 %r3, %r3, %r4;";

struct Outcome {
  CUresult result;
  std::string error;
};

Outcome outcome_of(const std::string& body, unsigned threads = 64,
                   const std::string& outside = kTile, const char* settings = "") {
  TestDevice device(settings);
  const CUdeviceptr out = device.room(1024), in = device.up(std::vector<uint32_t>(256, 3));
  const CUresult result =
      device.run(kernel_of(2, element(10, 0) + kPlaces + body, outside), 1, threads, {out, in});
  return {result, device.error()};
}

void expect_found(const std::string& bad, const std::string& good, CUresult code,
                  const std::string& words, unsigned threads = 64) {
  for (const char* settings : {"", "seed=5"}) {
    const Outcome found = outcome_of(bad, threads, kTile, settings);
    EXPECT_EQ(found.result, code) << bad;
    EXPECT_NE(found.error.find(words), std::string::npos) << found.error;
    EXPECT_NE(found.error.find("kernel k, block (0,0,0)"), std::string::npos) << found.error;
    const Outcome fine = outcome_of(good, threads, kTile, settings);
    EXPECT_EQ(fine.result, CUDA_SUCCESS) << good << fine.error;
    EXPECT_EQ(fine.error, "");
  }
}

TEST(EmulatorChecks, RaceBetweenWarpsWithoutABarrier) {
  expect_found("st.shared.u32 [%r2], %r0; ld.shared.u32 %r5, [%r3];",
               "st.shared.u32 [%r2], %r0; bar.sync 0; ld.shared.u32 %r5, [%r3];",
               CUDA_ERROR_LAUNCH_FAILED, "shared byte");
  // The tile is written again while the other warp may still read it.
  expect_found(
      "st.shared.u32 [%r2], %r0; bar.sync 0; ld.shared.u32 %r5, [%r3]; st.shared.u32 [%r2], %r5;",
      "st.shared.u32 [%r2], %r0; bar.sync 0; ld.shared.u32 %r5, [%r3]; bar.sync 0; st.shared.u32 "
      "[%r2], %r5;",
      CUDA_ERROR_LAUNCH_FAILED, "race: shared byte");
  expect_found("st.shared.u32 [tile], %r0;",
               "setp.eq.u32 %p1, %r0, 0; @%p1 st.shared.u32 [tile], %r0;", CUDA_ERROR_LAUNCH_FAILED,
               "also written by thread", 32);
  // A barrier of some warps orders nothing for the others.
  expect_found(
      "st.shared.u32 [%r2], %r0; shr.u32 %r5, %r0, 5; add.u32 %r5, %r5, 1; bar.sync %r5, 32; "
      "ld.shared.u32 %r6, [%r3];",
      "st.shared.u32 [%r2], %r0; bar.sync 3, 64; ld.shared.u32 %r6, [%r3];",
      CUDA_ERROR_LAUNCH_FAILED, "");
}

TEST(EmulatorChecks, ExchangesWithinAWarpNeedNoBarrier) {
  const Outcome fine = outcome_of(
      "st.shared.u32 [%r2], %r0; bar.warp.sync -1; xor.b32 %r5, %r0, 1; shl.b32 %r5, %r5, 2; "
      "add.u32 %r5, %r5, %r4;"
      "ld.shared.u32 %r6, [%r5]; st.shared.u32 [%r5], %r6;");
  EXPECT_EQ(fine.result, CUDA_SUCCESS) << fine.error;
}

TEST(EmulatorChecks, BarriersThatNotAllComeTo) {
  const Outcome divergent = outcome_of("setp.lt.u32 %p1, %r0, 7; @%p1 bar.sync 0;");
  EXPECT_EQ(divergent.result, CUDA_ERROR_LAUNCH_FAILED);
  EXPECT_NE(divergent.error.find("only some of the warp's lanes"), std::string::npos)
      << divergent.error;
  const Outcome absent = outcome_of("setp.lt.u32 %p1, %r0, 32; @%p1 bar.sync 0, 64;");
  EXPECT_EQ(absent.result, CUDA_ERROR_LAUNCH_FAILED);
  EXPECT_NE(absent.error.find("waits at a barrier"), std::string::npos) << absent.error;
  const Outcome shuffle =
      outcome_of("setp.lt.u32 %p1, %r0, 7; @%p1 shfl.sync.bfly.b32 %r5, %r0, 1, 31, -1;");
  EXPECT_NE(shuffle.error.find("member mask"), std::string::npos) << shuffle.error;
}

TEST(EmulatorChecks, GlobalMemoryBounds) {
  expect_found("ld.global.u32 %r5, [%rd1+1024];", "ld.global.u32 %r5, [%rd1+1020];",
               CUDA_ERROR_ILLEGAL_ADDRESS,
               "0 bytes behind the end of the allocation 2 of 1024 bytes");
  expect_found("st.global.u32 [%rd0+-4], 1;", "st.global.u32 [%rd0], 1;",
               CUDA_ERROR_ILLEGAL_ADDRESS, "4 bytes before");
  expect_found("ld.global.v4.u32 {%r5,%r6,%r7,%r8}, [%rd1+8];",
               "ld.global.v4.u32 {%r5,%r6,%r7,%r8}, [%rd1+16];", CUDA_ERROR_MISALIGNED_ADDRESS,
               "misaligned");
  expect_found("ld.u32 %r5, [%rd1+1022];", "ld.v2.u16 {%h1,%h2}, [%rd1+1020];",
               CUDA_ERROR_ILLEGAL_ADDRESS, "outside");
  expect_found("ld.global.u32 %r5, [%rd0+512];",
               "st.global.u32 [%rd0+512], 1; ld.global.u32 %r5, [%rd0+512];",
               CUDA_ERROR_LAUNCH_FAILED, "was never written");
}

TEST(EmulatorChecks, FreedMemory) {
  TestDevice device;
  const CUdeviceptr gone = device.up(std::vector<uint32_t>(4, 1)), out = device.room(128);
  ASSERT_EQ(device.load(kernel_of(
                2, element(10, 0) + "ld.global.u32 %r5, [%rd1]; st.global.u32 [%rd10], %r5;")),
            CUDA_SUCCESS);
  EXPECT_EQ(device.launch(1, 32, {out, gone}), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFree(gone), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFree(gone), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(device.launch(1, 32, {out, gone}), CUDA_ERROR_ILLEGAL_ADDRESS);
  EXPECT_NE(device.error().find("the freed allocation"), std::string::npos) << device.error();
}

TEST(EmulatorChecks, SharedMemoryBoundsAndContents) {
  expect_found("st.shared.u32 [tile+4096], %r0;", "st.shared.u32 [tile+4092], 3;",
               CUDA_ERROR_ILLEGAL_ADDRESS, "outside the block's 4096 bytes", 32);
  expect_found("ld.shared.u32 %r5, [%r2];", "st.shared.u32 [%r2], 0; ld.shared.u32 %r5, [%r2];",
               CUDA_ERROR_LAUNCH_FAILED, "was never written");
  expect_found("st.shared.v2.u32 [%r2], {%r0, %r0};", "st.shared.u32 [%r2], %r0;",
               CUDA_ERROR_MISALIGNED_ADDRESS, "no multiple of 8");
}

TEST(EmulatorChecks, CopiesThatAreNotWaitedFor) {
  const std::string issue =
      "shl.b32 %r2, %r2, 2; mul.wide.u32 %rd3, %r1, 16; add.u64 %rd3, %rd3, %rd1;"
      "shl.b32 %r2, %r0, 4; add.u32 %r2, %r2, %r4; cp.async.ca.shared.global [%r2], [%rd3], 16;";
  expect_found(issue + "cp.async.commit_group; ld.shared.u32 %r5, [%r2];",
               issue + "cp.async.commit_group; cp.async.wait_group 0; ld.shared.u32 %r5, [%r2];",
               CUDA_ERROR_LAUNCH_FAILED, "has not been waited for");
  // Another warp's copy: the wait of the issuer and a barrier, not the barrier alone.
  const std::string other =
      "xor.b32 %r5, %r0, 32; shl.b32 %r5, %r5, 4; add.u32 %r5, %r5, %r4; ld.shared.u32 %r6, [%r5];";
  expect_found(issue + "cp.async.wait_all;" + other,
               issue + "cp.async.wait_all; bar.sync 0;" + other, CUDA_ERROR_LAUNCH_FAILED,
               "shared byte");
  // One group too many may still be on its way.
  expect_found(issue + "cp.async.commit_group; cp.async.wait_group 1; ld.shared.u32 %r5, [%r2];",
               issue +
                   "cp.async.commit_group; cp.async.commit_group; cp.async.wait_group 1; "
                   "ld.shared.u32 %r5, [%r2];",
               CUDA_ERROR_LAUNCH_FAILED, "has not been waited for");
}

TEST(EmulatorChecks, RegistersNeverWritten) {
  expect_found("add.u32 %r5, %r6, 1;", "mov.u32 %r6, 1; add.u32 %r5, %r6, 1;",
               CUDA_ERROR_LAUNCH_FAILED, "never written");
  // Copied along it does no harm; chosen by a predicate only where it is chosen.
  expect_found("mov.u32 %r5, %r6; st.global.u32 [%rd10], %r5;",
               "mov.u32 %r5, %r6; setp.eq.u32 %p1, %r0, %r0; selp.u32 %r7, %r0, %r5, %p1; "
               "st.global.u32 [%rd10], %r7;",
               CUDA_ERROR_LAUNCH_FAILED, "never written");
  expect_found("@%p1 bra END; END:", "setp.eq.u32 %p1, %r0, 3; @%p1 bra END; END:",
               CUDA_ERROR_LAUNCH_FAILED, "guard");
}

TEST(EmulatorChecks, WhatIsNotUnderstoodIsNamed) {
  const struct {
    const char* text;
    const char* words;
  } cases[] = {
      {"frobnicate.u32 %r5, %r0;", "unknown instruction 'frobnicate'"},
      {"add.rn.bogus.f32 %f1, %f2, %f3;", "unknown modifier '.bogus'"},
      {"mul.u32 %r5, %r0, %r0;", "one of .lo .hi .wide is missing"},
      {"cvt.f16.f32 %h1, %f1;", "the rounding is missing"},
      {"add.u32 %rd5, %r0, %r0;", "register %rd5 has another width"},
      {"cp.async.bulk.commit_group;", "unknown instruction 'cp.async.bulk'"},
      {"mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f64 {%r1},{%r1},{%r1},{%r1};",
       "unknown matrix product"},
      {"mov.u32 %r5, %clusterid.x;", "unknown special register '%clusterid.x'"},
      {"bra NOWHERE;", "unknown label 'NOWHERE'"},
      {"ld.global.b128 %r5, [%rd0];", "unknown type"},
      {"prmt.b32.xyz %r5, %r0, %r0, %r0;", "unknown modifier '.xyz'"},
  };
  for (const auto& [text, words] : cases) {
    TestDevice device;
    std::string log;
    EXPECT_EQ(device.load(kernel_of(1, text), &log), CUDA_ERROR_INVALID_PTX) << text;
    EXPECT_NE(log.find(words), std::string::npos) << text << " -> " << log;
  }
}

TEST(EmulatorChecks, KernelsThatStopThemselvesOrDoNotEnd) {
  const Outcome trap = outcome_of("setp.eq.u32 %p1, %r0, 5; @%p1 trap;");
  EXPECT_EQ(trap.result, CUDA_ERROR_LAUNCH_FAILED);
  EXPECT_NE(trap.error.find("thread (5,0,0): the kernel stopped itself"), std::string::npos);
  const Outcome assertion =
      outcome_of("call.uni __assertfail;", 32, std::string(kTile) + ".extern .func __assertfail;");
  EXPECT_NE(assertion.error.find("does not contain"), std::string::npos) << assertion.error;
  const Outcome endless = outcome_of("FOREVER: bra.uni FOREVER;", 64, kTile, "limit=10000");
  EXPECT_EQ(endless.result, CUDA_ERROR_LAUNCH_TIMEOUT);
}

}  // namespace
}  // namespace sqf

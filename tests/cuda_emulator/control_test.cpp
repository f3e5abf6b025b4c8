#include <numeric>

#include "format/scalar.hpp"
#include "tests/cuda_emulator/test_device.hpp"

// Branches, barriers, what lanes tell each other, memory in every space.

namespace sqf {
namespace {

std::vector<uint32_t> run_one_block(const std::string& body, unsigned threads,
                                    const std::string& outside = "", const char* settings = "",
                                    unsigned shared_bytes = 0) {
  TestDevice device(settings);
  const CUdeviceptr out = device.room(threads * 4);
  EXPECT_EQ(
      device.run(kernel_of(1, element(10, 0) + body + "\nst.global.u32 [%rd10], %r10;", outside), 1,
                 threads, {out}, shared_bytes),
      CUDA_SUCCESS)
      << device.error();
  return device.down<uint32_t>(out, threads);
}

TEST(EmulatorControl, NestedBranchesAndLoopsMeetAgain) {
  // Collatz steps of lane + 1; the mask after the loop must be whole again.
  const auto out = run_one_block(R"(
    add.u32 %r2, %r0, 1; mov.u32 %r10, 0;
    LOOP: setp.eq.u32 %p1, %r2, 1; @%p1 bra DONE;
    and.b32 %r3, %r2, 1; setp.eq.u32 %p2, %r3, 0; @%p2 bra EVEN;
    mad.lo.u32 %r2, %r2, 3, 1; bra NEXT;
    EVEN: shr.u32 %r2, %r2, 1;
    NEXT: add.u32 %r10, %r10, 1; bra.uni LOOP;
    DONE: activemask.b32 %r4; setp.ne.u32 %p3, %r4, 0xffffffff; @%p3 mov.u32 %r10, 9999;)",
                                 64);
  for (uint32_t i = 0; i < 64; i++) {
    uint32_t steps = 0;
    for (uint32_t n = i + 1; n != 1; n = n % 2 == 0 ? n / 2 : 3 * n + 1) steps++;
    EXPECT_EQ(out[i], steps) << i;
  }
}

TEST(EmulatorControl, LanesThatReturnEarlyAreNotWaitedFor) {
  TestDevice device;
  const CUdeviceptr out = device.room(64 * 4);
  cuMemsetD32(out, 7, 64);
  const std::string body = element(10, 0) + R"(
    setp.gt.u32 %p1, %r0, 40; @%p1 bra END;
    setp.lt.u32 %p2, %r0, 3; @%p2 bra INNER;
    bra AFTER;
    INNER: setp.eq.u32 %p3, %r0, 1; @%p3 bra END;
    AFTER: bar.sync 0; st.global.u32 [%rd10], %r0; END:)";
  EXPECT_EQ(device.run(kernel_of(1, body), 1, 64, {out}), CUDA_SUCCESS) << device.error();
  const auto got = device.down<uint32_t>(out, 64);
  for (uint32_t i = 0; i < 64; i++) EXPECT_EQ(got[i], i > 40 || i == 1 ? 7 : i);
}

TEST(EmulatorControl, LanesOnTheirWayOutAreLetGoBeforeABarrier) {
  TestDevice device;
  const CUdeviceptr out = device.room(256);
  const std::string body = element(10, 0) + R"(
    setp.gt.u32 %p1, %r0, 40; @!%p1 bra STAY;
    mov.u32 %r10, 2; st.global.u32 [%rd10], %r10; bra END;
    STAY: bar.sync 0; activemask.b32 %r11; shfl.sync.idx.b32 %r10, %r11, 0, 31, %r11; st.global.u32 [%rd10], %r10;
    END:)";
  ASSERT_EQ(device.run(kernel_of(1, body), 1, 64, {out}), CUDA_SUCCESS) << device.error();
  const auto got = device.down<uint32_t>(out, 64);
  for (uint32_t i = 0; i < 64; i++) EXPECT_EQ(got[i], i > 40 ? 2 : i < 32 ? 0xffffffff : 0x1ff);
}

TEST(EmulatorControl, TablesOfBranches) {
  const auto out = run_one_block(R"(
    and.b32 %r2, %r0, 3;
    T: .branchtargets A, B, C, A;
    brx.idx %r2, T;
    A: mov.u32 %r10, 100; bra E;
    B: mov.u32 %r10, 200; bra E;
    C: mov.u32 %r10, 300;
    E: activemask.b32 %r3; popc.b32 %r3, %r3; add.u32 %r10, %r10, %r3;)",
                                 32);
  const uint32_t want[] = {132, 232, 332, 132};
  for (uint32_t i = 0; i < 32; i++) EXPECT_EQ(out[i], want[i % 4]);
}

TEST(EmulatorControl, CallsAreUnfolded) {
  const std::string outside = R"(
    .func (.param .b32 result) twice(.param .b32 x) {
      .reg .b32 %r<4>; ld.param.u32 %r1, [x]; add.u32 %r2, %r1, %r1;
      st.param.b32 [result+0], %r2; ret; })";
  const auto out = run_one_block(R"(
    { .param .b32 a; .param .b32 b; st.param.b32 [a+0], %r0; call.uni (b), twice, (a); ld.param.b32 %r2, [b+0]; }
    { .param .b32 a; .param .b32 b; st.param.b32 [a+0], %r2; call (b), twice, (a); ld.param.b32 %r10, [b+0]; })",
                                 32, outside);
  for (uint32_t i = 0; i < 32; i++) EXPECT_EQ(out[i], 4 * i);
}

TEST(EmulatorControl, BarriersInEveryOrderOfWarps) {
  for (const char* settings : {"", "seed=1", "seed=2"}) {
    const auto out = run_one_block(R"(
      shl.b32 %r2, %r0, 2; mov.u32 %r3, tile; add.u32 %r2, %r2, %r3; st.shared.u32 [%r2], %r0;
      bar.sync 0;
      xor.b32 %r4, %r0, 96; shl.b32 %r4, %r4, 2; add.u32 %r4, %r4, %r3; ld.shared.u32 %r10, [%r4];
      setp.lt.u32 %p1, %r0, 5; bar.red.popc.u32 %r5, 0, %p1; add.u32 %r10, %r10, %r5;)",
                                   128, ".shared .align 4 .b8 tile[512];", settings);
    for (uint32_t i = 0; i < 128; i++) EXPECT_EQ(out[i], (i ^ 96) + 5) << settings;
  }
}

TEST(EmulatorControl, NamedBarriersOfProducersAndConsumers) {
  const auto out = run_one_block(R"(
    shl.b32 %r2, %r1, 2; mov.u32 %r3, tile; add.u32 %r2, %r2, %r3; mov.u32 %r10, 0;
    setp.lt.u32 %p1, %r0, 32; @%p1 bra MAKE;
    bar.sync 1, 64; ld.shared.u32 %r10, [%r2]; bra END;
    MAKE: st.shared.u32 [%r2], %r0; bar.arrive 1, 64;
    END:)",
                                 64, ".shared .align 4 .b8 tile[128];");
  for (uint32_t i = 32; i < 64; i++) EXPECT_EQ(out[i], i - 32);
}

TEST(EmulatorControl, DynamicSharedMemoryBeginsBehindTheStatic) {
  const auto out = run_one_block(
      R"(
    mov.u32 %r2, dynamic; mov.u32 %r3, fixed; sub.u32 %r10, %r2, %r3;
    mov.u64 %rd2, dynamic; cvta.shared.u64 %rd3, %rd2; mul.wide.u32 %rd4, %r0, 4; add.u64 %rd3, %rd3, %rd4;
    st.u32 [%rd3], %r0; shl.b32 %r4, %r0, 2; add.u32 %r4, %r4, %r2; ld.shared.u32 %r5, [%r4];
    add.u32 %r10, %r10, %r5; st.shared.u32 [fixed], 1;)",
      32, ".shared .align 4 .b8 fixed[20]; .extern .shared .align 16 .b8 dynamic[];", "", 128);
  for (uint32_t i = 0; i < 32; i++) EXPECT_EQ(out[i], 32 + i);
}

TEST(EmulatorControl, DynamicSharedMemoryIsAlignedAsItSays) {
  const auto out = run_one_block(
      "mov.u32 %r2, dynamic; mov.u32 %r3, fixed; sub.u32 %r10, %r2, %r3; st.shared.u32 [fixed], 1;",
      32, ".shared .align 128 .b8 fixed[20]; .extern .shared .align 128 .b8 dynamic[];", "", 128);
  EXPECT_EQ(out[0], 128u);
}

TEST(EmulatorLanes, Shuffles) {
  const struct {
    const char* text;
    uint32_t (*from)(uint32_t);
  } cases[] = {
      {"shfl.sync.bfly.b32 %r10, %r0, 5, 31, -1;", [](uint32_t i) { return i ^ 5; }},
      {"shfl.sync.up.b32 %r10, %r0, 3, 0, -1;", [](uint32_t i) { return i < 3 ? i : i - 3; }},
      {"shfl.sync.down.b32 %r10, %r0, 9, 31, -1;", [](uint32_t i) { return i > 22 ? i : i + 9; }},
      {"shfl.sync.idx.b32 %r10, %r0, 2, 0x181f, -1;", [](uint32_t i) { return i / 8 * 8 + 2; }},
      {"shfl.sync.down.b32 %r10|%p1, %r0, 1, 0x181f, -1; @!%p1 mov.u32 %r10, 77;",
       [](uint32_t i) { return i % 8 == 7 ? 77 : i + 1; }},
      {"vote.sync.ballot.b32 %r10, %p2, -1;", [](uint32_t) { return 0x92492492u; }},
      {"redux.sync.max.s32 %r10, %r4, -1;", [](uint32_t) { return 15u; }},
      {"and.b32 %r5, %r0, 24; shl.b32 %r6, 255, %r5; redux.sync.add.s32 %r10, %r0, %r6;",
       [](uint32_t i) { return i / 8 * 64 + 28; }},
      {"and.b32 %r5, %r0, 16; shl.b32 %r6, 65535, %r5; setp.lt.u32 %p3, %r0, 20;"
       "vote.sync.ballot.b32 %r10, %p3, %r6;",
       [](uint32_t i) { return i < 16 ? 0xffffu : 0xf0000u; }},
      {"and.b32 %r5, %r0, 3; match.any.sync.b32 %r10, %r5, -1;",
       [](uint32_t i) { return 0x11111111u << (i & 3); }},
  };
  for (const auto& [text, from] : cases) {
    const auto out = run_one_block(
        "sub.s32 %r4, %r0, 16; rem.u32 %r3, %r0, 3; setp.eq.u32 %p2, %r3, 1;" + std::string(text),
        32, "", "");
    for (uint32_t i = 0; i < 32; i++) {
      EXPECT_EQ(out[i], from(i)) << text << " lane " << i;
    }
  }
}

TEST(EmulatorMemory, AtomicsOnGlobalAndSharedMemory) {
  TestDevice device("threads=2");
  const CUdeviceptr out = device.up(std::vector<uint32_t>(8, 0)),
                    sum = device.up(std::vector<float>(1, 0.f));
  const std::string body = R"(
    setp.eq.u32 %p1, %r0, 0; mov.u32 %r2, tally; @%p1 st.shared.u32 [%r2], 0; bar.sync 0;
    atom.shared.add.u32 %r3, [%r2], 1;
    red.global.add.u32 [%rd0], 1; red.global.max.u32 [%rd0+4], %r0; atom.global.or.b32 %r4, [%rd0+8], %r0;
    atom.global.cas.b32 %r5, [%rd0+12], 0, 5; atom.global.inc.u32 %r6, [%rd0+20], 9;
    mov.f32 %f1, 0f3F000000; red.global.add.f32 [%rd1], %f1;
    bar.sync 0; @%p1 ld.shared.u32 %r7, [%r2]; @%p1 red.global.add.u32 [%rd0+16], %r7;)";
  ASSERT_EQ(device.run(kernel_of(2, body, ".shared .align 4 .b8 tally[4];"), 10, 64, {out, sum}),
            CUDA_SUCCESS)
      << device.error();
  EXPECT_EQ(device.down<uint32_t>(out, 6), (std::vector<uint32_t>{640, 63, 63, 5, 640, 0}));
  EXPECT_EQ(device.down<float>(sum, 1)[0], 320.f);
}

TEST(EmulatorMemory, VectorsNarrowTypesAndLocalArrays) {
  const auto out = run_one_block(R"(
    .local .align 16 .b8 array[32]; mov.u64 %rd2, array; cvta.local.u64 %rd3, %rd2;
    st.local.v4.u32 [%rd2], {%r0, %r1, %r0, 258}; ld.u8 %r2, [%rd3+13]; ld.local.s8 %r3, [%rd2+12];
    ld.local.v2.u16 {%h1, %h2}, [%rd2+4]; cvt.u32.u16 %r4, %h1;
    ld.const.u32 %r5, [table+4]; add.u32 %r10, %r2, %r3; mad.lo.u32 %r10, %r4, 10, %r10; add.u32 %r10, %r10, %r5;)",
                                 32, ".const .align 4 .u32 table[2] = {1, 5000};");
  for (uint32_t i = 0; i < 32; i++) EXPECT_EQ(out[i], 1 + 2 + 10 * i + 5000);
}

TEST(EmulatorMemory, LateCopiesArriveAtTheWait) {
  TestDevice device;
  std::vector<uint32_t> values(128);
  std::iota(values.begin(), values.end(), 1u);
  const CUdeviceptr in = device.up(values), out = device.room(128);
  // Two groups of 4 words for each lane; the source of the second is 4 bytes long, the rest zeros.
  const std::string body = element(10, 0) + R"(
    mul.wide.u32 %rd3, %r0, 16; add.u64 %rd3, %rd3, %rd1; shl.b32 %r2, %r0, 4; mov.u32 %r3, tile; add.u32 %r2, %r2, %r3;
    cp.async.cg.shared.global [%r2], [%rd3], 16; cp.async.commit_group;
    mov.u32 %r4, 4; cp.async.ca.shared.global.L2::128B [%r2+512], [%rd3], 16, %r4; cp.async.commit_group;
    cp.async.wait_group 1; ld.shared.v4.u32 {%r5, %r6, %r7, %r8}, [%r2];
    cp.async.wait_all; ld.shared.v2.u32 {%r9, %r11}, [%r2+512];
    add.u32 %r10, %r5, %r8; add.u32 %r10, %r10, %r9; mad.lo.u32 %r10, %r11, 1000, %r10; st.global.u32 [%rd10], %r10;)";
  ASSERT_EQ(device.run(kernel_of(2, body, ".shared .align 16 .b8 tile[1024];"), 1, 32, {out, in}),
            CUDA_SUCCESS)
      << device.error();
  const auto got = device.down<uint32_t>(out, 32);
  for (uint32_t i = 0; i < 32; i++) EXPECT_EQ(got[i], (4 * i + 1) * 2 + 4 * i + 4);
  EXPECT_EQ(device.report()["async_copies"]["bytes"], 1024);
}

TEST(EmulatorMemory, MatricesGoThroughSharedMemoryToTheProduct) {
  // A [16][16] and B [8][16] of small whole numbers, one row of 32 bytes after another.
  std::vector<uint16_t> a(256), b(128);
  for (size_t i = 0; i < a.size(); i++) a[i] = f32_to_f16(static_cast<float>(i * 7 % 13) - 6);
  for (size_t i = 0; i < b.size(); i++) b[i] = f32_to_f16(static_cast<float>(i * 5 % 11) - 5);
  TestDevice device;
  const CUdeviceptr out = device.room(16 * 8 * 4);
  const std::string body = R"(
    mov.u32 %r2, tile; shl.b32 %r3, %r0, 4; add.u32 %r3, %r3, %r2; mul.wide.u32 %rd3, %r0, 16;
    add.u64 %rd4, %rd3, %rd1; ld.global.v4.u32 {%r4,%r5,%r6,%r7}, [%rd4]; st.shared.v4.u32 [%r3], {%r4,%r5,%r6,%r7};
    setp.lt.u32 %p1, %r0, 16; add.u64 %rd5, %rd3, %rd2;
    @%p1 ld.global.v4.u32 {%r4,%r5,%r6,%r7}, [%rd5]; @%p1 st.shared.v4.u32 [%r3+512], {%r4,%r5,%r6,%r7};
    bar.warp.sync -1;
    and.b32 %r8, %r0, 15; shl.b32 %r8, %r8, 5; shr.u32 %r9, %r0, 4; shl.b32 %r9, %r9, 4; add.u32 %r8, %r8, %r9;
    add.u32 %r8, %r8, %r2; ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r10,%r11,%r12,%r13}, [%r8];
    and.b32 %r14, %r0, 7; shl.b32 %r14, %r14, 5; and.b32 %r15, %r0, 8; shl.b32 %r15, %r15, 1;
    add.u32 %r14, %r14, %r15; add.u32 %r14, %r14, %r2;
    ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%r16,%r17}, [%r14+512];
    mov.f32 %f1, 0f3F800000;
    mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%f2,%f3,%f4,%f5}, {%r10,%r11,%r12,%r13}, {%r16,%r17},
        {%f1,%f1,%f1,%f1};
    shr.u32 %r20, %r0, 2; and.b32 %r21, %r0, 3; shl.b32 %r20, %r20, 5; shl.b32 %r21, %r21, 3; add.u32 %r20, %r20, %r21;
    cvt.u64.u32 %rd6, %r20; add.u64 %rd6, %rd6, %rd0;
    st.global.v2.f32 [%rd6], {%f2,%f3}; st.global.v2.f32 [%rd6+256], {%f4,%f5};)";
  ASSERT_EQ(device.run(kernel_of(3, body, ".shared .align 16 .b8 tile[1024];"), 1, 32,
                       {out, device.up(a), device.up(b)}),
            CUDA_SUCCESS)
      << device.error();
  const auto got = device.down<float>(out, 128);
  for (size_t row = 0; row < 16; row++) {
    for (size_t column = 0; column < 8; column++) {
      float want = 1;
      for (size_t k = 0; k < 16; k++) {
        want += f16_to_f32(a[row * 16 + k]) * f16_to_f32(b[column * 16 + k]);
      }
      EXPECT_EQ(got[row * 8 + column], want) << row << " " << column;
    }
  }
  EXPECT_EQ(device.report()["mma"], 1);
  EXPECT_EQ(device.report()["bank_conflicts"],
            6);  // rows 32 bytes apart: two in a bank, six matrices
}

}  // namespace
}  // namespace sqf

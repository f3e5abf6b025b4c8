#include "tests/cuda_emulator/test_device.hpp"

// The driver's functions: errors where the driver has them, capture, settings, asked-for failures.

namespace sqf {
namespace {

const std::string& add_one() {
  static const std::string text = kernel_of(
      1, element(10, 0) +
             "ld.global.u32 %r2, [%rd10]; add.u32 %r2, %r2, 1; st.global.u32 [%rd10], %r2;");
  return text;
}

TEST(EmulatorDriver, SettingsAreParsedStrictly) {
  for (const char* wrong : {"capability=8", "memory=lots", "bogus=1", "seed", "devices=9",
                            "fail_alloc=0", "memory=0G"}) {
    setenv("SQF_EMULATOR", wrong, 1);
    EXPECT_EQ(cuInit(0), CUDA_ERROR_INVALID_VALUE) << wrong;
  }
  setenv("SQF_EMULATOR", "devices=0", 1);
  EXPECT_EQ(cuInit(0), CUDA_ERROR_NO_DEVICE);
  setenv("SQF_EMULATOR", "init=804", 1);
  EXPECT_EQ(static_cast<int>(cuInit(0)), 804);
  unsetenv("SQF_EMULATOR");
  TestDevice device("capability=8.6 memory=2M sms=13 driver=12040 devices=2");
  int value = 0;
  EXPECT_EQ(cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, 0),
            CUDA_SUCCESS);
  EXPECT_EQ(value, 6);
  EXPECT_EQ(cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 1),
            CUDA_SUCCESS);
  EXPECT_EQ(value, 13);
  EXPECT_EQ(cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 2),
            CUDA_ERROR_INVALID_DEVICE);
  EXPECT_EQ(cuDriverGetVersion(&value), CUDA_SUCCESS);
  EXPECT_EQ(value, 12040);
  CUdeviceptr place = 0;
  EXPECT_EQ(cuMemAlloc(&place, 3 << 20), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(cuMemAlloc(&place, 1 << 20), CUDA_SUCCESS);
  size_t left = 0, total = 0;
  EXPECT_EQ(cuMemGetInfo(&left, &total), CUDA_SUCCESS);
  EXPECT_EQ(left, size_t{1} << 20);
}

TEST(EmulatorDriver, WithoutAContextNothingIsDone) {
  TestDevice device;
  CUcontext context = nullptr;
  ASSERT_EQ(cuCtxGetCurrent(&context), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxSetCurrent(nullptr), CUDA_SUCCESS);
  CUdeviceptr place = 0;
  EXPECT_EQ(cuMemAlloc(&place, 16), CUDA_ERROR_INVALID_CONTEXT);
  EXPECT_EQ(cuCtxSynchronize(), CUDA_ERROR_INVALID_CONTEXT);
  ASSERT_EQ(cuCtxPushCurrent(context), CUDA_SUCCESS);
  EXPECT_EQ(cuMemAlloc(&place, 16), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxPopCurrent(&context), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxSetCurrent(context), CUDA_SUCCESS);
}

TEST(EmulatorDriver, LaunchesThatDoNotFitAreRefused) {
  TestDevice device;
  const CUdeviceptr data = device.up(std::vector<uint32_t>(1024, 1));
  ASSERT_EQ(device.load(add_one()), CUDA_SUCCESS);
  EXPECT_EQ(device.launch(1, 1025, {data}), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(device.launch(0, 32, {data}), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(device.launch(1, 32, {data}, 49153), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuFuncSetAttribute(device.function(), CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                               166913),
            CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuFuncSetAttribute(device.function(), CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                               166912),
            CUDA_SUCCESS);
  EXPECT_EQ(device.launch(1, 32, {data}, 49153), CUDA_SUCCESS);
  EXPECT_EQ(cuLaunchKernel(device.function(), 1, 65536, 1, 32, 1, 1, 0, nullptr, nullptr, nullptr),
            CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuLaunchKernel(device.function(), 1, 1, 1, 32, 1, 1, 0, nullptr, nullptr, nullptr),
            CUDA_ERROR_INVALID_VALUE);
  CUfunction none = nullptr;
  EXPECT_EQ(cuModuleGetFunction(&none, device.module, "other"), CUDA_ERROR_NOT_FOUND);
  EXPECT_EQ(cuMemcpyDtoH(&none, data + 4090, 8), CUDA_ERROR_INVALID_VALUE);
}

TEST(EmulatorDriver, FailuresThatWereAskedFor) {
  {
    TestDevice device("fail_alloc=2");
    CUdeviceptr place = 0;
    EXPECT_EQ(cuMemAlloc(&place, 16), CUDA_SUCCESS);
    EXPECT_EQ(cuMemAlloc(&place, 16), CUDA_ERROR_OUT_OF_MEMORY);
    EXPECT_EQ(cuMemAlloc(&place, 16), CUDA_SUCCESS);
  }
  {
    TestDevice device("fail_launch=2");
    const CUdeviceptr data = device.up(std::vector<uint32_t>(32, 1));
    EXPECT_EQ(device.run(add_one(), 1, 32, {data}), CUDA_SUCCESS);
    EXPECT_EQ(device.launch(1, 32, {data}), CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES);
    EXPECT_EQ(device.launch(1, 32, {data}), CUDA_SUCCESS);
    EXPECT_EQ(device.down<uint32_t>(data, 1)[0], 3u);
  }
  for (const bool late : {false, true}) {
    TestDevice device(late ? "illegal=1 errors=late" : "illegal=1");
    const CUdeviceptr data = device.up(std::vector<uint32_t>(32, 1));
    EXPECT_EQ(device.run(add_one(), 1, 32, {data}),
              late ? CUDA_SUCCESS : CUDA_ERROR_ILLEGAL_ADDRESS);
    uint32_t word = 0;
    EXPECT_EQ(cuCtxSynchronize(), CUDA_ERROR_ILLEGAL_ADDRESS);  // and so it stays
    EXPECT_EQ(cuMemcpyDtoH(&word, data, 4), CUDA_ERROR_ILLEGAL_ADDRESS);
    EXPECT_EQ(cuMemFree(data), CUDA_ERROR_ILLEGAL_ADDRESS);
  }
  TestDevice device;  // a new context is sound
  EXPECT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
}

TEST(EmulatorDriver, ACapturedGraphRunsLater) {
  TestDevice device;
  const CUdeviceptr data = device.up(std::vector<uint32_t>(32, 1));
  ASSERT_EQ(device.load(add_one()), CUDA_SUCCESS);
  CUstream stream = nullptr;
  ASSERT_EQ(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL), CUDA_SUCCESS);
  uint32_t result[32] = {};
  EXPECT_EQ(device.launch(1, 32, {data}, 0, stream), CUDA_SUCCESS);
  EXPECT_EQ(device.launch(1, 32, {data}, 0, stream), CUDA_SUCCESS);
  EXPECT_EQ(cuMemcpyDtoHAsync(result, data, 128, stream), CUDA_SUCCESS);
  CUstreamCaptureStatus status{};
  EXPECT_EQ(cuStreamIsCapturing(stream, &status), CUDA_SUCCESS);
  EXPECT_EQ(status, CU_STREAM_CAPTURE_STATUS_ACTIVE);
  CUgraph graph = nullptr;
  ASSERT_EQ(cuStreamEndCapture(stream, &graph), CUDA_SUCCESS);
  EXPECT_EQ(result[0], 0u);
  CUgraphExec executable = nullptr;
  ASSERT_EQ(cuGraphInstantiateWithFlags(&executable, graph, 0), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphLaunch(executable, stream), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphLaunch(executable, stream), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamSynchronize(stream), CUDA_SUCCESS);
  EXPECT_EQ(result[31], 5u);
  EXPECT_EQ(cuGraphExecDestroy(executable), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphExecDestroy(executable), CUDA_ERROR_INVALID_VALUE);
}

TEST(EmulatorDriver, WaitingBreaksACapture) {
  TestDevice device;
  CUstream stream = nullptr;
  ASSERT_EQ(cuStreamCreate(&stream, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_GLOBAL), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamSynchronize(stream), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  CUgraph graph = nullptr;
  EXPECT_EQ(cuStreamEndCapture(stream, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  ASSERT_EQ(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_GLOBAL), CUDA_SUCCESS);
  CUdeviceptr place = 0;
  EXPECT_EQ(cuMemAlloc(&place, 16), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  EXPECT_EQ(cuStreamEndCapture(stream, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  EXPECT_EQ(cuStreamEndCapture(stream, &graph), CUDA_ERROR_ILLEGAL_STATE);
  EXPECT_EQ(cuStreamSynchronize(stream), CUDA_SUCCESS);
}

TEST(EmulatorDriver, ImagesThatHoldNoPtxAreRefused) {
  TestDevice device;
  EXPECT_EQ(device.load("\x7f"
                        "ELF and so on"),
            CUDA_ERROR_NO_BINARY_FOR_GPU);
  EXPECT_EQ(device.load("nonsense"), CUDA_ERROR_INVALID_PTX);
  EXPECT_EQ(device.load(".version 7.8\n.target sm_90\n.address_size 64\n"), CUDA_ERROR_INVALID_PTX);
  EXPECT_EQ(device.load(".version 9.9\n.target sm_80\n.address_size 64\n"),
            CUDA_ERROR_UNSUPPORTED_PTX_VERSION);
  EXPECT_EQ(
      device.load(
          ".version 7.8\n.target sm_80\n.address_size 64\n.visible .entry k() { .reg .b32 %r<2>"),
      CUDA_ERROR_INVALID_PTX);
}

/// A fatbin as nvcc --no-compress writes it, of one entry for each architecture; an ELF entry where
/// there is no text.
std::string fatbin_of(const std::vector<std::pair<uint32_t, std::string>>& entries) {
  std::string body;
  const auto add = [&](auto value) {
    body.append(reinterpret_cast<const char*>(&value), sizeof(value));
  };
  for (const auto& [architecture, text] : entries) {
    std::string payload = text.empty() ? std::string(
                                             "\x7f"
                                             "ELF",
                                             4)
                                       : text;
    payload.resize((payload.size() + 8) / 8 * 8, '\0');
    add(static_cast<uint16_t>(text.empty() ? 2 : 1));
    add(uint16_t{0x0101});
    add(uint32_t{64});
    add(static_cast<uint64_t>(payload.size()));
    for (int i = 0; i < 3; i++) add(uint32_t{0});  // compressed size, name, version
    add(architecture);
    for (int i = 0; i < 4; i++) add(uint64_t{0});
    body += payload;
  }
  std::string out("\x50\xed\x55\xba\x01\x00\x10\x00", 8);
  const auto bytes = static_cast<uint64_t>(body.size());
  return out.append(reinterpret_cast<const char*>(&bytes), 8) + body;
}

TEST(EmulatorDriver, TheNewestFittingPtxOfAFatbinIsTaken) {
  const auto table = [](int value, const char* target) {
    std::string text =
        kernel_of(1, "", ".visible .global .u32 table = " + std::to_string(value) + ";");
    return text.replace(text.find("sm_80"), 5, target);
  };
  TestDevice device("capability=8.9");
  const std::string image = fatbin_of(
      {{80, ""}, {75, table(1, "sm_75")}, {86, table(2, "sm_86")}, {90, table(3, "sm_90")}});
  CUmodule module = nullptr;
  ASSERT_EQ(cuModuleLoadFatBinary(&module, image.data()), CUDA_SUCCESS);
  CUdeviceptr place = 0;
  ASSERT_EQ(cuModuleGetGlobal(&place, nullptr, module, "table"), CUDA_SUCCESS);
  EXPECT_EQ(device.down<uint32_t>(place, 1)[0], 2u);
  EXPECT_EQ(cuModuleUnload(module), CUDA_SUCCESS);
  EXPECT_EQ(cuModuleUnload(module), CUDA_ERROR_INVALID_HANDLE);
  const std::string binary = fatbin_of({{80, ""}, {90, table(3, "sm_90")}});
  EXPECT_EQ(cuModuleLoadData(&module, binary.data()), CUDA_ERROR_NO_BINARY_FOR_GPU);
}

TEST(EmulatorDriver, EventsVariablesAndNames) {
  TestDevice device;
  ASSERT_EQ(device.load(kernel_of(1, "", ".visible .global .align 4 .u32 table[3] = {1, 2, 3};")),
            CUDA_SUCCESS);
  CUdeviceptr table = 0;
  size_t bytes = 0;
  ASSERT_EQ(cuModuleGetGlobal(&table, &bytes, device.module, "table"), CUDA_SUCCESS);
  EXPECT_EQ(bytes, 12u);
  EXPECT_EQ(device.down<uint32_t>(table, 3), (std::vector<uint32_t>{1, 2, 3}));
  CUevent first = nullptr, last = nullptr;
  ASSERT_EQ(cuEventCreate(&first, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuEventCreate(&last, 0), CUDA_SUCCESS);
  float milliseconds = -1;
  EXPECT_EQ(cuEventElapsedTime(&milliseconds, first, last), CUDA_ERROR_INVALID_HANDLE);
  ASSERT_EQ(cuEventRecord(first, nullptr), CUDA_SUCCESS);
  ASSERT_EQ(cuEventRecord(last, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(cuEventElapsedTime(&milliseconds, first, last), CUDA_SUCCESS);
  EXPECT_GE(milliseconds, 0);
  const char* name = nullptr;
  EXPECT_EQ(cuGetErrorName(CUDA_ERROR_ILLEGAL_ADDRESS, &name), CUDA_SUCCESS);
  EXPECT_STREQ(name, "CUDA_ERROR_ILLEGAL_ADDRESS");
  void* found = nullptr;
  EXPECT_EQ(cuGetProcAddress("cuMemAlloc", &found, 13000, 0, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(found, reinterpret_cast<void*>(&cuMemAlloc));
  EXPECT_EQ(cuGetProcAddress("cuNonsense", &found, 13000, 0, nullptr), CUDA_ERROR_NOT_FOUND);
}

}  // namespace
}  // namespace sqf

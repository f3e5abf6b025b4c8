#pragma once

// A device of the emulator for one test: context, buffers, PTX texts, launches with their report.
// Only the driver's own functions are used, as the runtime uses them.

#include <cuda.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "format/json.hpp"

extern "C" void sqf_emulator_tag(CUdeviceptr address, size_t bytes, const char* name);

namespace sqf {

class TestDevice {
 public:
  explicit TestDevice(const char* settings = "") {
    static int serial = 0;
    report_path_ = testing::TempDir() + "emulator_" + std::to_string(getpid()) + "_" +
                   std::to_string(serial++) + ".jsonl";
    setenv("SQF_EMULATOR", settings, 1);
    setenv("SQF_EMULATOR_REPORT", report_path_.c_str(), 1);
    EXPECT_EQ(cuInit(0), CUDA_SUCCESS);
    CUcontext context = nullptr;
    EXPECT_EQ(cuDevicePrimaryCtxRetain(&context, 0), CUDA_SUCCESS);
    EXPECT_EQ(cuCtxSetCurrent(context), CUDA_SUCCESS);
  }
  ~TestDevice() {
    cuCtxSetCurrent(nullptr);
    cuDevicePrimaryCtxRelease(0);
    unsetenv("SQF_EMULATOR");
    unsetenv("SQF_EMULATOR_REPORT");
    std::filesystem::remove(report_path_);
  }
  TestDevice(const TestDevice&) = delete;
  TestDevice& operator=(const TestDevice&) = delete;

  CUdeviceptr room(size_t bytes) {
    CUdeviceptr out = 0;
    EXPECT_EQ(cuMemAlloc(&out, bytes), CUDA_SUCCESS);
    return out;
  }
  template <class T>
  CUdeviceptr up(const std::vector<T>& values) {
    const CUdeviceptr out = room(values.size() * sizeof(T));
    EXPECT_EQ(cuMemcpyHtoD(out, values.data(), values.size() * sizeof(T)), CUDA_SUCCESS);
    return out;
  }
  template <class T>
  std::vector<T> down(CUdeviceptr from, size_t count) {
    std::vector<T> out(count);
    EXPECT_EQ(cuMemcpyDtoH(out.data(), from, count * sizeof(T)), CUDA_SUCCESS);
    return out;
  }

  CUresult load(const std::string& ptx, std::string* log = nullptr) {
    char text[1024] = "";
    CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
    void* values[] = {text, reinterpret_cast<void*>(sizeof(text))};
    const CUresult result = cuModuleLoadDataEx(&module, ptx.c_str(), 2, options, values);
    if (log != nullptr) *log = text;
    return result;
  }
  CUfunction function(const char* name = "k") {
    CUfunction out = nullptr;
    EXPECT_EQ(cuModuleGetFunction(&out, module, name), CUDA_SUCCESS);
    return out;
  }
  /// Loads, launches kernel k with pointers for parameters; the launch's answer.
  CUresult run(const std::string& ptx, unsigned blocks, unsigned threads,
               std::vector<CUdeviceptr> parameters, unsigned shared_bytes = 0) {
    std::string log;
    EXPECT_EQ(load(ptx, &log), CUDA_SUCCESS) << log;
    return launch(blocks, threads, std::move(parameters), shared_bytes);
  }
  CUresult launch(unsigned blocks, unsigned threads, std::vector<CUdeviceptr> parameters,
                  unsigned shared_bytes = 0, CUstream stream = nullptr) {
    std::vector<void*> places;
    for (CUdeviceptr& parameter : parameters) places.push_back(&parameter);
    return cuLaunchKernel(function(), blocks, 1, 1, threads, 1, 1, shared_bytes, stream,
                          places.data(), nullptr);
  }
  /// The report of the last launch.
  Json report() const {
    std::ifstream in(report_path_);
    std::string line, last = "{}";
    while (std::getline(in, line)) last = line;
    return Json::parse(last);
  }
  std::string error() const { return report().value("error", ""); }

  CUmodule module = nullptr;

 private:
  std::string report_path_;
};

/// A module of one kernel k with pointers p0.. as parameters, loaded into %rd0.., and %tid in %r0,
/// its lane in %r1; the registers %r, %rd, %f, %h, %p, %d count up to 63.
inline std::string kernel_of(int pointers, const std::string& body,
                             const std::string& outside = "") {
  std::string text =
      ".version 7.8\n.target sm_80\n.address_size 64\n" + outside + "\n.visible .entry k(";
  for (int i = 0; i < pointers; i++) {
    text += (i == 0 ? "" : ", ") + std::string(".param .u64 p") + std::to_string(i);
  }
  text +=
      ") {\n.reg .b32 %r<64>; .reg .b64 %rd<64>; .reg .f32 %f<64>; .reg .b16 %h<64>;\n"
      ".reg .pred %p<64>; .reg .f64 %d<64>;\n";
  for (int i = 0; i < pointers; i++) {
    text += "ld.param.u64 %rd" + std::to_string(i) + ", [p" + std::to_string(i) + "];\n";
  }
  return text + "mov.u32 %r0, %tid.x; mov.u32 %r1, %laneid;\n" + body + "\nret;\n}\n";
}

/// The address of 4-byte element `index` of pointer `pointer` in %rd<to>.
inline std::string element(int to, int pointer, const std::string& index = "%r0") {
  const std::string out = "%rd" + std::to_string(to);
  return "mul.wide.u32 " + out + ", " + index + ", 4; add.u64 " + out + ", " + out + ", %rd" +
         std::to_string(pointer) + ";\n";
}

}  // namespace sqf

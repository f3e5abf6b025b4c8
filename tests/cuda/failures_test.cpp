// What sqrun does where the GPU, its driver or its memory fails: one line that says why, an exit
// code, the CPU in its place only under --device auto, and never an answer that is not one.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>

#include "cuda/placement.hpp"
#include "tests/runtime/composed_model.hpp"

namespace sqf {
namespace {

struct Ran {
  int code = -1;
  std::string text;  ///< both streams
};

/// A model with room for all its tokens, and sqrun on it.
class Sqrun {
 public:
  Sqrun() {
    ModelDescription d = tiny(false);
    d.head_dim = 16;
    write_model(d, folder_ / "a.sqf");
    d.head_dim = 14;
    write_model(d, folder_ / "odd.sqf");
  }

  Ran run(const std::string& environment, const std::string& device,
          const std::string& file = "a.sqf") const {
    const std::string command = "env SQF_LIBCUDA=" SQF_EMULATOR_LIBRARY " " + environment +
                                " timeout 60 " SQF_RUN " bench " + (folder_ / file).string() +
                                " -p 4 -n 2 -r 1 -t 1 --device " + device + " 2>&1";
    Ran ran;
    FILE* pipe = ::popen(command.c_str(), "r");
    std::array<char, 4096> buffer;
    while (const size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe))
      ran.text.append(buffer.data(), n);
    const int status = ::pclose(pipe);
    ran.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
    return ran;
  }

  /// Bytes that the last `layers` layers and the head need on the GPU in run()'s context.
  uint64_t needs_of(int64_t layers) const {
    auto file = ModelFile::open(folder_ / "a.sqf");
    if (!file) return 0;
    const auto d = description_from_json(file->head().meta["model"]);
    return d ? place_model(*file, *d, {.context = 4, .gpu_layers = layers}).total() : 0;
  }

 private:
  TemporaryFolder folder_;
};

struct Failure {
  const char* environment;
  const char* says;
  int code;  ///< of --device cuda
};

TEST(CudaFailures, WorksWhereNothingFails) {
  const Sqrun sqrun;
  const Ran ran = sqrun.run("", "cuda");
  EXPECT_EQ(ran.code, 0) << ran.text;
  EXPECT_EQ(ran.text.find("on the CPU"), std::string::npos) << ran.text;
}

TEST(CudaFailures, BeforeTheFirstToken) {
  constexpr Failure kFailures[] = {
      {"SQF_LIBCUDA=/nowhere/libcuda.so", "/nowhere/libcuda.so", 4},
      {"SQF_EMULATOR=driver=11080", "driver is of 11.8; 12.0 or newer is needed", 4},
      {"SQF_EMULATOR=devices=0", "no GPU", 4},
      {"SQF_EMULATOR=capability=7.5", "compute capability 7.5; 8.0 or newer is needed", 4},
      {"SQF_EMULATOR=init=999", "the CUDA driver does not start", 4},
      {"SQF_EMULATOR=memory=100K", "are missing", 3},
      {"SQF_EMULATOR=fail_alloc=1", "for the weights", 3},
      {"SQF_EMULATOR=fail_alloc=9", "CUDA_ERROR_OUT_OF_MEMORY", 3},
  };
  const Sqrun sqrun;
  for (const Failure& failure : kFailures) {
    const Ran on_gpu = sqrun.run(failure.environment, "cuda");
    EXPECT_EQ(on_gpu.code, failure.code) << failure.environment << ": " << on_gpu.text;
    EXPECT_NE(on_gpu.text.find(failure.says), std::string::npos)
        << failure.environment << ": " << on_gpu.text;
    const Ran anywhere = sqrun.run(failure.environment, "auto");
    EXPECT_EQ(anywhere.code, 0) << failure.environment << ": " << anywhere.text;
    EXPECT_NE(anywhere.text.find("on the CPU: "), std::string::npos) << anywhere.text;
    EXPECT_NE(anywhere.text.find(failure.says), std::string::npos) << anywhere.text;
  }
}

/// The line says how many layers there is room for, and that many then run.
TEST(CudaFailures, SaysHowManyLayersFit) {
  const Sqrun sqrun;
  // More than one layer needs: kernels bring constants of their own, by the compiler's release.
  const uint64_t bytes = (sqrun.needs_of(1) + sqrun.needs_of(2)) / 2;
  const std::string memory = "SQF_EMULATOR=memory=" + std::to_string(bytes);
  const Ran too_large = sqrun.run(memory, "cuda");
  EXPECT_EQ(too_large.code, 3);
  EXPECT_NE(too_large.text.find("--gpu-layers 1 fits"), std::string::npos) << too_large.text;
  const Ran fits = sqrun.run("", "cuda --gpu-layers 1");
  EXPECT_EQ(fits.code, 0) << fits.text;
  EXPECT_NE(fits.text.find("1 layers and the head"), std::string::npos) << fits.text;
}

TEST(CudaFailures, LayersForAGpuThatIsNotAskedFor) {
  const Sqrun sqrun;
  const Ran ran = sqrun.run("", "cpu --gpu-layers 1");
  EXPECT_EQ(ran.code, 2) << ran.text;
  EXPECT_NE(ran.text.find("--gpu-layers is for --device cuda and auto"), std::string::npos)
      << ran.text;
}

/// Halfway the CPU does not take over: half of the cache is on the GPU.
TEST(CudaFailures, InTheMiddleOfTheWork) {
  const Sqrun sqrun;
  for (const char* device : {"cuda", "auto"})
    for (const char* environment :
         {"SQF_EMULATOR=fail_launch=40", "SQF_EMULATOR=illegal=40",
          "'SQF_EMULATOR=illegal=40 errors=late'", "'SQF_EMULATOR=illegal=200 errors=late'"}) {
      const Ran ran = sqrun.run(environment, device);
      EXPECT_EQ(ran.code, 3) << environment << ": " << ran.text;
      EXPECT_NE(ran.text.find("CUDA_ERROR_"), std::string::npos) << ran.text;
      EXPECT_EQ(ran.text.find("tokens/s"), std::string::npos) << ran.text;
    }
}

TEST(CudaFailures, AModelThatTheKernelsCannotTake) {
  const Sqrun sqrun;
  const Ran on_gpu = sqrun.run("", "cuda", "odd.sqf");
  EXPECT_EQ(on_gpu.code, 4) << on_gpu.text;
  EXPECT_NE(on_gpu.text.find("heads of 14"), std::string::npos) << on_gpu.text;
  EXPECT_EQ(sqrun.run("", "auto", "odd.sqf").code, 0);
}

}  // namespace
}  // namespace sqf

#include "apps/device.hpp"

#include <cstdio>

#ifdef SQF_HAS_CUDA
#include "cuda/cuda_backend.hpp"
#endif

namespace sqf {
namespace {

Result<Engine> on_gpu(const ModelFile& file, const EngineOptions& options) {
#ifdef SQF_HAS_CUDA
  return make_cuda_engine(file, options);
#else
  (void)file, (void)options;
  return unsupported("this build has no CUDA runtime (built with SQF_CUDA=OFF or without nvcc)");
#endif
}

#ifdef SQF_HAS_CUDA
constexpr bool kHasCuda = true;
#else
constexpr bool kHasCuda = false;
#endif

}  // namespace

void declare_device(CLI::App& app, std::string* device) {
  app.add_option("--device", *device,
                 "where to compute: cpu, cuda, or auto: the GPU where it can take the model")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
      ->capture_default_str();
}

TextModel::MakeEngine engine_on(const std::string& device, bool quiet) {
  if (device == "cuda")
    return [](const ModelFile& file, const EngineOptions& options) -> Result<Engine> {
      return on_gpu(file, options);
    };
  if (device == "cpu" || !kHasCuda) return Engine::create;
  return [quiet](const ModelFile& file, const EngineOptions& options) -> Result<Engine> {
    auto engine = on_gpu(file, options);
    if (engine || engine.error().code == Code::malformed) return engine;
    if (!quiet) std::fprintf(stderr, "[on the CPU: %s]\n", engine.error().message.c_str());
    return Engine::create(file, options);
  };
}

}  // namespace sqf

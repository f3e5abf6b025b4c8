#include "apps/device.hpp"

#include <cstdio>

#ifdef SQF_HAS_CUDA
#include "cuda/cuda_backend.hpp"
#endif

namespace sqf {
namespace {

#ifdef SQF_HAS_CUDA
constexpr bool kHasCuda = true;

void say_memory(const ModelFile& file, const EngineOptions& options) {
  const auto plan = plan_device_memory(file, options);
  if (!plan) return;
  const auto megabytes = [](uint64_t bytes) { return static_cast<double>(bytes) / 1e6; };
  std::fprintf(stderr, "[GPU memory: %.0f MB weights, %.0f MB cache, about %.0f MB activations]\n",
               megabytes(plan->weights), megabytes(plan->cache), megabytes(plan->activations));
}
#else
constexpr bool kHasCuda = false;
#endif

Result<Engine> on_gpu(const ModelFile& file, const EngineOptions& options, bool quiet) {
#ifdef SQF_HAS_CUDA
  return make_cuda_engine(file, options, [&] {
    if (!quiet) say_memory(file, options);
  });
#else
  (void)file, (void)options, (void)quiet;
  return unsupported("this build has no CUDA runtime (built with SQF_CUDA=OFF or without nvcc)");
#endif
}

}  // namespace

void declare_device(CLI::App& app, std::string* device) {
  app.add_option("--device", *device,
                 "where to compute: cpu, cuda, or auto: the GPU where it can take the model")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
      ->capture_default_str();
}

TextModel::MakeEngine engine_on(const std::string& device, bool quiet) {
  if (device == "cuda")
    return [quiet](const ModelFile& file, const EngineOptions& options) -> Result<Engine> {
      return on_gpu(file, options, quiet);
    };
  if (device == "cpu" || !kHasCuda) return Engine::create;
  return [quiet](const ModelFile& file, const EngineOptions& options) -> Result<Engine> {
    auto engine = on_gpu(file, options, quiet);
    if (engine || engine.error().code == Code::malformed) return engine;
    if (!quiet) std::fprintf(stderr, "[on the CPU: %s]\n", engine.error().message.c_str());
    return Engine::create(file, options);
  };
}

}  // namespace sqf

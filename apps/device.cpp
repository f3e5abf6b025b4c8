#include "apps/device.hpp"

#include <cstdio>

#ifdef SQF_HAS_CUDA
#include "cuda/cuda_backend.hpp"
#endif

namespace sqf {
namespace {

#ifdef SQF_HAS_CUDA
constexpr bool kHasCuda = true;

void say_memory(const Placement& placement) {
  const auto megabytes = [](uint64_t bytes) { return static_cast<double>(bytes) / 1e6; };
  std::fprintf(stderr,
               "[GPU memory: %.0f MB weights (%lld layers and the head), %.0f MB cache, about %.0f "
               "MB activations]\n",
               megabytes(placement.weights), static_cast<long long>(placement.layers),
               megabytes(placement.cache), megabytes(placement.activations));
}
#else
constexpr bool kHasCuda = false;
#endif

Result<Engine> on_gpu(const ModelFile& file, const EngineOptions& options, bool quiet) {
#ifdef SQF_HAS_CUDA
  return make_cuda_engine(file, options, [&](const Placement& placement) {
    if (!quiet) say_memory(placement);
  });
#else
  (void)file, (void)options, (void)quiet;
  return unsupported("this build has no CUDA runtime (built with SQF_CUDA=OFF or without nvcc)");
#endif
}

}  // namespace

void declare_device(CLI::App& app, DeviceChoice* choice) {
  app.add_option("--device", choice->device,
                 "where to compute: cpu, cuda, or auto: the GPU where it can take the model")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
      ->capture_default_str();
  app.add_option("--gpu-layers", choice->gpu_layers,
                 "layers on the GPU, the last ones, with the head; the CPU computes the others "
                 "[all]")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20));
}

TextModel::MakeEngine engine_on(const DeviceChoice& choice, bool quiet) {
  const bool for_gpu = choice.gpu_layers >= 0;
  if (choice.device == "cpu" && for_gpu)
    return [](const ModelFile&, const EngineOptions&) -> Result<Engine> {
      return usage_error("--gpu-layers is for --device cuda and auto: --device cpu has no GPU");
    };
  if (choice.device == "cpu" || (choice.device == "auto" && !kHasCuda && !for_gpu))
    return Engine::create;
  return [choice, quiet](const ModelFile& file, const EngineOptions& given) -> Result<Engine> {
    EngineOptions options = given;
    options.gpu_layers = choice.gpu_layers;
    auto engine = on_gpu(file, options, quiet);
    if (engine || choice.device == "cuda" || engine.error().code == Code::malformed) return engine;
    if (!quiet) std::fprintf(stderr, "[on the CPU: %s]\n", engine.error().message.c_str());
    return Engine::create(file, options);
  };
}

}  // namespace sqf

#pragma once
// --device and --gpu-layers of the programs that compute: the CPU, the GPU, or whichever serves.

#include <CLI/CLI.hpp>
#include <string>

#include "runtime/text_model.hpp"

namespace sqf {

struct DeviceChoice {
  std::string device = "auto";  ///< auto, cpu or cuda
  int64_t gpu_layers = -1;      ///< as in EngineOptions
};

void declare_device(CLI::App& app, DeviceChoice* choice);

/// Makes engines on the device that was chosen. auto takes the CPU where the GPU cannot be
/// had, and says why on stderr unless `quiet`; a broken file is an error on both.
TextModel::MakeEngine engine_on(const DeviceChoice& choice, bool quiet);

}  // namespace sqf

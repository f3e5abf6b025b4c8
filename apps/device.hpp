#pragma once
// --device of the programs that compute: the CPU, the GPU, or whichever serves.

#include <CLI/CLI.hpp>
#include <string>

#include "runtime/text_model.hpp"

namespace sqf {

void declare_device(CLI::App& app, std::string* device);

/// Makes engines on `device`, one of auto, cpu, cuda. auto takes the CPU where the GPU cannot be
/// had, and says why on stderr unless `quiet`; a broken file is an error on both.
TextModel::MakeEngine engine_on(const std::string& device, bool quiet);

}  // namespace sqf

#pragma once
// What sqconv and its command `calibrate` share: the options of calibration.

#include <cstdint>
#include <string>

#include "converter/calibration/statistics.hpp"

namespace CLI {
class App;
}

namespace sqf {

struct CalibrationArguments {
  std::string text, lines = "0:100";
  int64_t tokens = 32768, length = 512;
  int64_t memory_limit = 8192;  ///< MB; 0: none
};

void declare_calibration(CLI::App& app, CalibrationArguments& a);

/// Reads the text, runs the model over it. Shows progress unless `quiet`; stops on a signal.
Result<Statistics> calibrate(const SourceModel& source, const ModelDescription& description,
                             const CalibrationArguments& a, int threads, bool quiet);

/// True where `output` is one of the files that `input` was read from.
bool is_input(const std::string& output, const std::string& input, const SourceModel& source);

int run_calibrate(int argc, char** argv);  ///< sqconv calibrate MODEL --calib TEXT -o FILE

}  // namespace sqf

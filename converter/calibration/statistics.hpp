#pragma once
// What flows through a model: for every activation that linear layers read, how large its channels
// are over the calibration tokens. Gathered block by block: one block's weights and the residual
// stream of all windows are in memory, nothing else. The same bits for any number of threads.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <vector>

#include "converter/calibration/text.hpp"
#include "converter/source.hpp"
#include "model/description.hpp"

namespace sqf {

/// One activation, by channel.
struct InputStatistics {
  std::vector<float> abs_max;
  std::vector<double> mean_abs, mean_square;

  int64_t columns() const { return static_cast<int64_t>(abs_max.size()); }
  /// Mean squares as weights of squared errors. Channels that never spoke weigh next to nothing,
  /// but not nothing: something must still choose their range.
  std::vector<float> importance() const;
};

struct Statistics {
  CalibrationText text;
  int64_t windows = 0, length = 0;
  std::vector<InputStatistics> inputs;  ///< by TensorSpec::input

  int64_t count() const { return windows * length; }  ///< tokens behind each number
};

struct StatisticsOptions {
  int threads = 1;
  /// For what grows with model and text; 0: no limit.
  uint64_t memory_limit = uint64_t{8} << 30;
  /// The residual streams are in a file, not in memory: its name in errors, and the folder that it
  /// lies in. Empty: in memory.
  std::filesystem::path spill = {};
  /// Asked on the caller's thread with windows done (over all blocks) and all of them; false stops
  /// the work (Code::interrupted).
  std::function<bool(uint64_t, uint64_t)> progress;
  /// If set, X^T X [columns][columns] summed over all tokens is gathered as well, and handed over
  /// once its block is done.
  std::function<void(int64_t input, std::vector<double> gram)> gram;
};

/// Bytes of memory that gather_statistics takes: residual streams, the largest block, threads'
/// buffers.
uint64_t statistics_memory(const ModelDescription& description, int64_t windows, int64_t length,
                           const StatisticsOptions& options);

/// Columns of each input, by TensorSpec::input.
std::vector<int64_t> input_columns(const ModelDescription& description);

/// Errors: usage (memory, windows longer than the model's context), malformed (tensors; values
/// that are not finite, with the layer), interrupted.
Result<Statistics> gather_statistics(const SourceModel& source, const ModelDescription& description,
                                     const CalibrationTokens& tokens,
                                     const StatisticsOptions& options);

}  // namespace sqf

#pragma once
// What the pieces of sqconv share: its options, and calibration, which its command `calibrate` has,
// too.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "apps/report.hpp"
#include "converter/calibration/statistics.hpp"
#include "converter/convert.hpp"
#include "converter/journal.hpp"
#include "converter/memory.hpp"

namespace CLI {
class App;
}

namespace sqf {

struct CalibrationArguments {
  std::string text, lines = "0:100";
  int64_t tokens = 32768, length = 512;
  int64_t memory_limit = 8192;  ///< MB; 0: none
};

/// What the command line says.
struct ConversionArguments {
  std::string input, output, method = "rtn", head;
  std::string bits, grid, group, scale, factor, zero, planes, range, round, act, outliers, lorc;
  std::string lorc_type = "i8", lorc_weight = "rms", alpha = "search", sites, hessian = "quantized";
  std::string gptq_order = "descending";
  double damping = 0.01;
  int64_t search_tokens = 2048;
  bool keep_smoothing = false;
  std::string report, evaluation;  ///< files
  std::string time_budget;         ///< empty: none
  std::string command;             ///< the command line as text
  std::vector<std::string> rules;
  std::string statistics;
  CalibrationArguments calibration;
  int threads = available_cores();
  bool dry_run = false, json = false, force = false, requantize = false, quiet = false,
       compress = false, resume = false;
};

using NamedWord = std::pair<const char*, const std::string*>;
/// The options that say what a matrix is to become, without dashes.
std::vector<NamedWord> linear_options(const ConversionArguments& a);

void declare_conversion(CLI::App& app, ConversionArguments& a);
/// Errors: usage.
Result<PlanOptions> plan_options(const ConversionArguments& a);
GptqOrder gptq_order(const ConversionArguments& a);
/// What META says of how the file was made.
Json recipe(const ConversionArguments& a, const PlanOptions& options, const Plan& plan);

/// The document of quality_report.hpp, without its evaluation. `file` is the one written.
Result<Json> report_document(const ConversionArguments& a, const SourceModel& source,
                             const Plan& plan, const PlanOptions& options,
                             std::span<const InputChoice> choices, const ConvertReport& report,
                             double seconds);

void declare_calibration(CLI::App& app, CalibrationArguments& a);

/// Reads the text; says so where it is shorter than asked for.
Result<CalibrationTokens> read_tokens(const SourceModel& source, const CalibrationArguments& a);

/// Runs the model over them. Shows progress unless `quiet`; stops on a signal. `spill`: as
/// StatisticsOptions.
Result<Statistics> calibrate(const SourceModel& source, const ModelDescription& description,
                             const CalibrationTokens& tokens, const CalibrationArguments& a,
                             int threads, bool quiet, const std::filesystem::path& spill);

/// What an earlier run left of this conversion, and where this one keeps what it makes.
struct Work {
  std::unique_ptr<Journal> journal;  ///< null: the conversion is short, nothing is kept
  bool finished = false;             ///< the output is in place already
};
/// `forward`: the model is to be run over the text more often than once. Errors: as Journal::open.
Result<Work> open_work(const ConversionArguments& a, const SourceModel& source,
                       const CalibrationTokens* tokens, bool forward);
/// What the conversion takes; `statistics`: those may have to be gathered. Streams are spilled
/// where the limit does not hold them, and only then.
ConversionMemory memory_for(const ConversionArguments& a, const Plan& plan,
                            const SourceModel& source, bool statistics,
                            const CalibrationTokens* tokens);
/// The file for what the windows carry, in the journal's folder or beside the output; empty: all of
/// it is in memory.
std::filesystem::path spill_file(const ConversionArguments& a, const ConversionMemory& memory,
                                 const Journal* journal);
/// The error that ends a conversion, and how to go on. Removes a folder that is of no use.
Error stopped(Error error, const ConversionArguments& a, Journal* journal);

/// True where `output` is one of the files that `input` was read from.
bool is_input(const std::string& output, const std::string& input, const SourceModel& source);

int run_calibrate(int argc, char** argv);  ///< sqconv calibrate MODEL --calib TEXT -o FILE

}  // namespace sqf

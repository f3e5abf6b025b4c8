// sqconv calibrate: one pass of the model over a text; what flowed through it goes to a file that
// later conversions read.

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <filesystem>

#include "apps/report.hpp"
#include "apps/sqconv.hpp"
#include "converter/calibration/statistics_file.hpp"

namespace sqf {
namespace {

struct Arguments {
  std::string input, output;
  CalibrationArguments calibration;
  int threads = available_cores();
  bool force = false, quiet = false;
};

uint64_t memory_limit(const CalibrationArguments& a) {
  return static_cast<uint64_t>(a.memory_limit) * 1000000;
}

/// The file for the residual streams where the limit does not hold them; empty: it does.
std::string spill_beside(const Arguments& a, const ModelDescription& description,
                         const CalibrationTokens& tokens) {
  StatisticsOptions options;
  options.threads = a.threads;
  const uint64_t limit = memory_limit(a.calibration);
  const uint64_t needed = statistics_memory(description, tokens.windows, tokens.length, options);
  if (limit == 0 || needed <= limit) return {};
  if (!a.quiet)
    std::fprintf(stderr, "sqconv calibrate: %.1f MB of residual streams go to a file beside %s\n",
                 4e-6 * static_cast<double>(tokens.windows * tokens.length) *
                     static_cast<double>(description.hidden_size),
                 a.output.c_str());
  return a.output + ".spill";
}

Result<void> run(const Arguments& a) {
  auto source = open_source(a.input);
  if (!source) return source.error();
  if (is_input(a.output, a.input, *source)) return usage_error(a.output + ": is an input");
  auto description = description_from_config(source->config, source->generation_config);
  if (!description) return description.error();
  const auto start = std::chrono::steady_clock::now();
  catch_signals();
  auto tokens = read_tokens(*source, a.calibration);
  if (!tokens) return tokens.error();
  const std::string spill = spill_beside(a, *description, *tokens);
  auto statistics =
      calibrate(*source, *description, *tokens, a.calibration, a.threads, a.quiet, spill);
  if (!statistics) return statistics.error();
  if (auto r = save_statistics(*statistics, *source, *description, a.output, a.force); !r) return r;
  // What was written must serve: it is read back as a conversion would.
  if (auto r = load_statistics(a.output, *source, *description); !r) return r.error();
  if (a.quiet) return {};
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::printf("%s: %zu inputs over %lld windows of %lld tokens in %.1f s\n", a.output.c_str(),
              statistics->inputs.size(), static_cast<long long>(statistics->windows),
              static_cast<long long>(statistics->length), seconds);
  return {};
}

}  // namespace

void declare_calibration(CLI::App& app, CalibrationArguments& a) {
  app.add_option("--calib-tokens", a.tokens,
                 "tokens to calibrate on, in whole windows spread evenly over the lines")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 32))
      ->capture_default_str();
  app.add_option("--calib-window", a.length, "tokens per window")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str();
  app.add_option("--calib-lines", a.lines, "part of the text, A:B in per cent of its lines")
      ->capture_default_str();
  app.add_option(
         "--mem-limit", a.memory_limit,
         "MB of memory that the work may take; 0: any. Residual streams that it does not hold "
         "go to a file beside the output")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 32))
      ->capture_default_str();
}

Result<CalibrationTokens> read_tokens(const SourceModel& source, const CalibrationArguments& a) {
  CalibrationOptions options;
  options.tokens = a.tokens;
  options.length = a.length;
  if (auto r = parse_lines(a.lines, &options); !r) return r.error();
  auto tokens = read_calibration(source.tokenizer_json, a.text, options);
  if (!tokens) return tokens.error();
  if (tokens->windows < a.tokens / a.length)
    std::fprintf(stderr,
                 "sqconv: warning: %s has %lld windows of %lld tokens, %lld were asked for\n",
                 a.text.c_str(), static_cast<long long>(tokens->windows),
                 static_cast<long long>(a.length), static_cast<long long>(a.tokens / a.length));
  return tokens;
}

Result<Statistics> calibrate(const SourceModel& source, const ModelDescription& description,
                             const CalibrationTokens& tokens, const CalibrationArguments& a,
                             int threads, bool quiet, const std::filesystem::path& spill) {
  StatisticsOptions gather;
  gather.threads = threads;
  gather.memory_limit = memory_limit(a);
  gather.spill = spill;
  ProgressBar bar(!quiet);
  gather.progress = [&](uint64_t done, uint64_t total) {
    bar.show(done, total, "calibrating");
    return !interrupted();
  };
  return gather_statistics(source, description, tokens, gather);
}

bool is_input(const std::string& output, const std::string& input, const SourceModel& source) {
  std::error_code ignored;
  const std::filesystem::path path(input);
  for (const SourceFile& file : source.files)
    for (const auto& candidate : {path, path / file.name, path.parent_path() / file.name})
      if (std::filesystem::equivalent(output, candidate, ignored)) return true;
  return false;
}

int run_calibrate(int argc, char** argv) {
  Arguments a;
  CLI::App app(
      "Runs a model over a text and keeps how large its activations are, for conversions with "
      "--stats.",
      "sqconv calibrate");
  app.add_option("input", a.input, "a .safetensors file, a Hugging Face folder, or a GGUF file")
      ->required();
  app.add_option("--calib", a.calibration.text, "a UTF-8 text")->required();
  app.add_option("-o,--output", a.output, "the file to write, e.g. stats.sqc")->required();
  declare_calibration(app, a.calibration);
  app.add_option("-t,--threads", a.threads, "threads")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_flag("--force", a.force, "replace an existing output");
  app.add_flag("-q,--quiet", a.quiet, "no progress, no result line");
  if (const auto code = parse_arguments(app, argc, argv)) return *code;
  auto done = run(a);
  return done ? 0 : report("sqconv calibrate", done.error());
}

}  // namespace sqf

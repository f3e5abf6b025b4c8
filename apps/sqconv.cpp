// sqconv: a model in, one .sqf file out. Arguments, printing, exit codes; the work is converter/.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "apps/report.hpp"
#include "apps/sqconv.hpp"
#include "converter/calibration/statistics_file.hpp"
#include "converter/convert.hpp"
#include "loader/model_file.hpp"

namespace {

constexpr const char* kFooter = R"(Examples:
  sqconv SmolLM2-135M-Instruct -o model.sqf              4-bit layers, 8-bit embedding
  sqconv model.safetensors -o model.sqf --bits 8         config.json and tokenizer.json beside it
  sqconv model.gguf -o model.sqf --method keep           Q4_0, Q4_1, Q8_0 carried over as they are
  sqconv FOLDER -o m.sqf --rule 'down_proj=bits=6' --rule 'layers\.0\.=none'
  sqconv FOLDER -o m.sqf --grid nf4 --group 64 --scale f16
  sqconv FOLDER -o m.sqf --grid e2m1 --scale e8m0 --factor none    MXFP4's numbers
  sqconv FOLDER -o m.sqf --grid ternary --rule 'down_proj=grid=levels:-4/-1/0/1/4,group=120'
  sqconv FOLDER -o m.sqf --calib text.txt --calib-lines 0:60    ranges by what flows through
  sqconv calibrate FOLDER --calib text.txt -o stats.sqc  once, for many conversions with --stats
  sqconv FOLDER --dry-run                                what would be done, and the size

Exit codes: 0 good, 1 malformed input, 2 usage, 3 environment or I/O, 4 unsupported, 5 interrupted.)";

struct Arguments {
  std::string input, output, method = "rtn", head;
  std::string bits, grid, group, scale, factor, zero, planes, range;
  std::vector<std::string> rules;
  std::string statistics;
  sqf::CalibrationArguments calibration;
  int threads = sqf::available_cores();
  bool dry_run = false, json = false, force = false, requantize = false, quiet = false,
       compress = false;
};

void declare(CLI::App& app, Arguments& a) {
  app.add_option("input", a.input, "a .safetensors file, a Hugging Face folder, or a GGUF file")
      ->required();
  app.add_option("-o,--output", a.output, "the .sqf file to write");
  app.add_option("--method", a.method,
                 "rtn: round to nearest; none: keep values; keep: keep a GGUF's codes")
      ->check(CLI::IsMember({"rtn", "none", "keep"}))
      ->capture_default_str();
  app.add_option("--bits", a.bits, "bits per code of the layers' matrices, 1 to 8 (default 4)");
  app.add_option("--grid", a.grid,
                 "what codes mean (default affine): affine; eEmM, a minifloat of 3 to 8 bits, e.g. "
                 "e2m1; e5m2ocp, e4m3ocp, e3m2ocp, e2m3ocp, e2m1ocp; binary (-1 1), ternary "
                 "(-1 0 1), five (-2 to 2), nf4; levels:a/b/c, 2 to 16 ascending numbers");
  app.add_option("--group", a.group,
                 "columns per scale: a multiple of 32, 16 with codes of 4 or 8 bits, 'row', or "
                 "with 3 or 5 levels any number (default 32; 3 or 5 levels 240)");
  app.add_option("--scale", a.scale, "scale type: u8, e4m3, e8m0, f16, bf16, f32 (default u8)");
  app.add_option("--factor", a.factor,
                 "f32 factor per row on top of the scales: row, none (default row for u8, e4m3, "
                 "e8m0)");
  app.add_option("--zero", a.zero,
                 "zero point of the affine grid: constant (symmetric), u4, u8, minimum (default "
                 "u4, above 4 bits u8)");
  app.add_option("--planes", a.planes,
                 "widest: few planes of codes; bit: one per bit, for bit-serial kernels (default "
                 "widest)");
  app.add_option("--range", a.range,
                 "minmax, or search for the least squared error (default search)");
  app.add_option(
      "--head", a.head,
      "encoding of embedding and head, e.g. bits=8,group=32 or none (default bits=8; with "
      "another method than rtn: that method)");
  app.add_option("--rule", a.rules,
                 "REGEX=SPEC for tensors whose name matches; the last match wins; may be repeated")
      ->expected(1)
      ->take_all();
  auto* text = app.add_option("--calib", a.calibration.text,
                              "a UTF-8 text to calibrate on: range searches weigh errors by how "
                              "large the input is");
  app.add_option("--stats", a.statistics, "the same from a file that sqconv calibrate wrote")
      ->excludes(text);
  sqf::declare_calibration(app, a.calibration);
  app.add_option("-t,--threads", a.threads, "threads")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_flag("--allow-requantize", a.requantize, "round weights that are quantized already");
  app.add_flag("--force", a.force, "replace an existing output");
  app.add_flag("--compress", a.compress, "store tokenizer.json and other texts as zstd frames");
  app.add_flag("--dry-run", a.dry_run, "print the plan, write nothing");
  app.add_flag("--json", a.json, "print plan and result as JSON");
  app.add_flag("-q,--quiet", a.quiet, "no plan, no progress");
  app.set_version_flag("--version", std::string("sqconv 1.0.0 (SQF 1.0)"));
  app.footer(kFooter);
}

sqf::Result<sqf::PlanOptions> plan_options(const Arguments& a) {
  sqf::PlanOptions options;
  std::string words;
  const std::pair<const char*, const std::string*> fields[] = {
      {"bits", &a.bits},     {"grid", &a.grid}, {"group", &a.group},   {"scale", &a.scale},
      {"factor", &a.factor}, {"zero", &a.zero}, {"planes", &a.planes}, {"range", &a.range}};
  for (const auto& [name, value] : fields)
    if (!value->empty()) words += (words.empty() ? "" : ",") + std::string(name) + "=" + *value;
  if (a.method != "rtn") {
    if (!words.empty())
      return sqf::usage_error("--" + words.substr(0, words.find('=')) + " needs --method rtn");
    words = a.method;
  }
  if (!words.empty()) {
    auto linear = sqf::parse_spec(words, options.linear);
    if (!linear) return linear.error();
    options.linear = *linear;
  }
  options.head.range = options.linear.range;
  const std::string head_words = !a.head.empty() ? a.head : a.method == "rtn" ? "bits=8" : a.method;
  auto head = sqf::parse_spec(head_words, options.head);
  if (!head) return head.error();
  options.head = *head;
  for (const std::string& text : a.rules) {
    auto rule = sqf::parse_rule(text);
    if (!rule) return rule.error();
    options.rules.push_back(std::move(*rule));
  }
  options.allow_requantize = a.requantize;
  return options;
}

/// What --calib or --stats ask for; nothing where neither is there.
sqf::Result<std::optional<sqf::Statistics>> statistics_for(const Arguments& a,
                                                           const sqf::PlanOptions& options,
                                                           const sqf::SourceModel& source) {
  if (a.statistics.empty() && a.calibration.text.empty()) return std::optional<sqf::Statistics>();
  // Mistakes that the plan would find are told before the work.
  auto plan = sqf::make_plan(source, options);
  if (!plan) return plan.error();
  if (std::ranges::none_of(plan->tensors, sqf::wants_statistics))
    return sqf::usage_error("--calib and --stats serve --method rtn with --range search");
  auto statistics =
      a.statistics.empty()
          ? sqf::calibrate(source, plan->description, a.calibration, a.threads, a.quiet)
          : sqf::load_statistics(a.statistics, source, plan->description);
  if (!statistics) return statistics.error();
  return std::optional(std::move(*statistics));
}

sqf::Json recipe(const Arguments& a, const sqf::PlanOptions& options) {
  sqf::Json rules = sqf::Json::array();
  for (const auto& rule : options.rules) rules.push_back({rule.pattern, rule.spec});
  sqf::Json json = {{"method", a.method}, {"rules", rules}};
  if (a.method == "rtn") {
    json["layers"] = sqf::describe(options.linear.encoding());
    json["head"] = options.head.method == sqf::Method::rtn ? sqf::describe(options.head.encoding())
                                                           : sqf::method_name(options.head.method);
    if (options.linear.grid.record.grid != sqf::Grid::affine)
      json["grid"] = options.linear.grid.name;
    json["range"] = options.linear.range == sqf::Range::search ? "search" : "minmax";
    if (options.statistics != nullptr)
      json["importance"] = {{"of", "mean square of the input"},
                            {"tokens", options.statistics->count()}};
  }
  return json;
}

/// Quantization error of the matrices as a share of their energy.
double relative_error(const sqf::ConvertReport& report) {
  sqf::QuantizeStats sum;
  for (const auto& tensor : report.tensors) sum.add(tensor.stats);
  return sum.energy > 0 ? sum.squared_error / sum.energy : 0;
}

/// Numbers that their stored type could not hold, on stderr: how many, and where most.
void warn_of_loss(const sqf::Plan& plan, const sqf::ConvertReport& report) {
  std::vector<std::pair<int64_t, const std::string*>> worst;
  int64_t too_large = 0, vanished = 0;
  for (size_t i = 0; i < plan.tensors.size(); i++) {
    const sqf::TensorPlan& tensor = plan.tensors[i];
    const sqf::QuantizeStats& stats = report.tensors[i].stats;
    // The search cuts scales off at a row's factor where that costs less than a coarser factor.
    const bool chosen = tensor.range == sqf::Range::search && tensor.encoding.row_factor != 0;
    const int64_t saturated = chosen ? 0 : stats.saturated;
    too_large += saturated;
    vanished += stats.underflowed;
    if (saturated + stats.underflowed > 0)
      worst.emplace_back(saturated + stats.underflowed, &tensor.spec.name);
  }
  if (worst.empty()) return;
  std::stable_sort(worst.begin(), worst.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  std::string names;
  for (const auto& [count, name] : std::span(worst).first(std::min<size_t>(worst.size(), 3)))
    names += (names.empty() ? "" : ", ") + *name + " (" + std::to_string(count) + ")";
  std::fprintf(stderr,
               "sqconv: warning: in %zu tensors, %lld scales or values were too large for their "
               "type and %lld groups or values became zero; most in %s\n",
               worst.size(), static_cast<long long>(too_large), static_cast<long long>(vanished),
               names.c_str());
}

/// A path need not be UTF-8; JSON must be.
void print(const sqf::Json& json) {
  std::printf("%s\n", json.dump(1, ' ', false, sqf::Json::error_handler_t::replace).c_str());
}

sqf::Result<void> run(const Arguments& a) {
  auto options = plan_options(a);
  if (!options) return options.error();
  auto source = sqf::open_source(a.input);
  if (!source) return source.error();
  if (!a.dry_run) {
    if (a.output.empty()) return sqf::usage_error("-o OUTPUT is missing (--dry-run needs none)");
    if (sqf::is_input(a.output, a.input, *source))
      return sqf::usage_error(a.output + ": is an input");
  }
  sqf::catch_signals();
  auto statistics = statistics_for(a, *options, *source);
  if (!statistics) return statistics.error();
  if (statistics->has_value()) options->statistics = &**statistics;
  auto plan = sqf::make_plan(*source, *options);
  if (!plan) return plan.error();
  if (a.json && a.dry_run)
    print(sqf::plan_json(*plan));
  else if (!a.quiet && !a.json)
    std::fputs(sqf::plan_text(*plan).c_str(), stdout);
  if (a.dry_run) return {};

  const auto start = std::chrono::steady_clock::now();
  sqf::ConvertOptions convert;
  convert.threads = a.threads;
  convert.replace = a.force;
  convert.compress = a.compress;
  convert.recipe = recipe(a, *options);
  if (options->statistics != nullptr)
    convert.calibration = sqf::calibration_json(*options->statistics);
  sqf::Result<sqf::ConvertReport> result = sqf::usage_error("");
  {
    sqf::ProgressBar bar(!a.quiet);
    convert.progress = [&](uint64_t done, uint64_t total, const std::string& name) {
      bar.show(done, total, name);
      return !sqf::interrupted();
    };
    result = sqf::convert(*source, *plan, a.output, convert);
  }
  if (!result) return result.error();
  warn_of_loss(*plan, *result);
  // What was written must open: a converter that cannot read its own file has failed.
  if (auto written = sqf::ModelFile::open(a.output); !written) return written.error();
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (a.json) {
    sqf::Json json = sqf::plan_json(*plan);
    json["file"] = a.output;
    json["file_bytes"] = result->file_bytes;
    json["seconds"] = seconds;
    json["relative_squared_error"] = relative_error(*result);
    print(json);
  } else if (!a.quiet) {
    std::printf(
        "%s: %.1f MB in %.2f s (%.2f GB/s read), squared error %.3g of the weights' energy\n",
        a.output.c_str(), static_cast<double>(result->file_bytes) / 1e6, seconds,
        static_cast<double>(plan->source_bytes) / 1e9 / seconds, relative_error(*result));
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::string_view(argv[1]) == "calibrate") {
    try {
      return sqf::close_output("sqconv", sqf::run_calibrate(argc - 1, argv + 1));
    } catch (const std::exception& e) {
      return sqf::report("sqconv", sqf::io_error(e.what()));
    }
  }
  Arguments arguments;
  CLI::App app("Converts a language model to one quantized .sqf file.", "sqconv");
  declare(app, arguments);
  if (const auto code = sqf::parse_arguments(app, argc, argv)) return *code;
  try {
    if (auto r = run(arguments); !r) return sqf::report("sqconv", r.error());
  } catch (const std::exception& e) {
    return sqf::report("sqconv", sqf::io_error(e.what()));
  }
  return sqf::close_output("sqconv", 0);
}

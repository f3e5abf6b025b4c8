// sqconv: a model in, one .sqf file out. Arguments, printing, exit codes; the work is converter/.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "apps/evaluate.hpp"
#include "apps/quality_report.hpp"
#include "apps/report.hpp"
#include "apps/sqconv.hpp"
#include "converter/calibration/statistics_file.hpp"
#include "converter/convert.hpp"
#include "converter/memory.hpp"
#include "converter/recipe.hpp"
#include "converter/smoothing_search.hpp"
#include "converter/time_budget.hpp"
#include "format/text.hpp"
#include "loader/model_file.hpp"

namespace {

/// What calibration gave; empty where nothing asked for it.
struct Calibrated {
  std::optional<sqf::CalibrationTokens> tokens;
  std::optional<sqf::Statistics> statistics;
};

/// What of calibration there is a use for.
struct Wanted {
  bool tokens = false, statistics = false;
};

/// Mistakes are told before the work.
sqf::Result<Wanted> wanted_for(const sqf::ConversionArguments& a, const sqf::Plan& plan) {
  const bool text = !a.calibration.text.empty(), any = text || !a.statistics.empty();
  const sqf::Needs needs = sqf::needs_of(plan);
  if (!any && a.dry_run) return Wanted{};
  if (needs.forward && !text)
    return sqf::usage_error("--method " + a.method + " as asked for needs --calib TEXT");
  if (needs.statistics && !any)
    return sqf::usage_error("--method " + a.method + " as asked for needs --calib or --stats");
  if (!any) return Wanted{};
  if (text && !a.statistics.empty() && !needs.forward)
    return sqf::usage_error("--calib and --stats: one is enough for what is asked for");
  const bool weighed = std::ranges::any_of(plan.tensors, sqf::wants_statistics);
  if (!weighed && !needs.statistics && !needs.forward)
    return sqf::usage_error(
        "--calib and --stats serve nothing that is asked for: not --range "
        "search or clip, nor smoothing, outliers, a weighed low-rank pair or GPTQ");
  return Wanted{needs.forward || a.statistics.empty(), true};
}

/// Fewer calibration tokens, where all of them would take more than the time there is.
sqf::Result<void> fit_budget(const sqf::ConversionArguments& a, const sqf::SourceModel& source,
                             const sqf::Plan& plan, sqf::CalibrationTokens* tokens) {
  if (a.time_budget.empty() || a.dry_run) return {};
  if (a.resume)
    return sqf::usage_error(
        "--time-budget with --resume: name the tokens that the first run chose "
        "with --calib-tokens instead");
  const auto budget = sqf::parse_duration(a.time_budget);
  if (!budget) return budget.error();
  sqf::WorkTimeOptions options;
  options.threads = a.threads;
  options.statistics = a.statistics.empty();
  options.search_windows =
      std::clamp<int64_t>(a.search_tokens / tokens->length, 1, tokens->windows);
  options.gptq = {sqf::gptq_order(a), a.damping};
  const auto time = sqf::time_work(source, plan, *tokens, options);
  if (!time) return time.error();
  if (time->of(1) > *budget)
    return sqf::usage_error("--time-budget " + a.time_budget + ": one window alone takes about " +
                            std::to_string(static_cast<int64_t>(std::ceil(time->of(1)))) + " s");
  int64_t windows = tokens->windows;
  while (time->of(windows) > *budget) windows--;
  if (windows == tokens->windows) return {};
  sqf::CalibrationArguments fewer = a.calibration;
  fewer.tokens = windows * tokens->length;
  std::fprintf(stderr, "sqconv: calibrating on %lld of %lld tokens, for about %.0f s\n",
               static_cast<long long>(fewer.tokens),
               static_cast<long long>(tokens->windows * tokens->length), time->of(windows));
  // As --calib-tokens would take them, so that the same file can be made again.
  auto chosen = sqf::read_tokens(source, fewer);
  if (!chosen) return chosen.error();
  *tokens = std::move(*chosen);
  return {};
}

/// From a file, from what an earlier run kept, or by running the model over the text.
sqf::Result<sqf::Statistics> statistics_for(const sqf::ConversionArguments& a,
                                            const sqf::SourceModel& source,
                                            const sqf::ModelDescription& description,
                                            const sqf::CalibrationTokens* tokens,
                                            sqf::Journal* journal,
                                            const std::filesystem::path& spill) {
  if (!a.statistics.empty()) return sqf::load_statistics(a.statistics, source, description);
  if (journal != nullptr) {
    auto kept = sqf::load_statistics(journal->statistics(), source, description);
    if (kept && kept->text == tokens->text && kept->windows == tokens->windows &&
        kept->length == tokens->length)
      return kept;
  }
  auto statistics =
      sqf::calibrate(source, description, *tokens, a.calibration, a.threads, a.quiet, spill);
  if (!statistics || journal == nullptr) return statistics;
  const auto kept =
      sqf::save_statistics(*statistics, source, description, journal->statistics(), true);
  if (!kept) return kept.error();
  return statistics;
}

/// Smoothing vectors, outlier columns, static scales: nothing where the plan asks for none.
sqf::Result<std::vector<sqf::InputChoice>> choose(
    const sqf::ConversionArguments& a, const sqf::SourceModel& source, const sqf::Plan& plan,
    const Calibrated& calibrated, sqf::Journal* journal, const std::filesystem::path& spill) {
  if (!sqf::needs_of(plan).statistics) return std::vector<sqf::InputChoice>();
  if (journal != nullptr)
    if (auto kept = journal->choices(plan)) return std::move(*kept);
  sqf::CalibrationTokens windows;
  if (calibrated.tokens)
    windows = calibrated.tokens->thinned(a.search_tokens / calibrated.tokens->length);
  sqf::ProgressBar bar(!a.quiet);
  sqf::SearchOptions search;
  search.threads = a.threads;
  search.journal = journal;
  search.spill = spill;
  search.progress = [&](uint64_t done, uint64_t total) {
    bar.show(done, total, "searching");
    return !sqf::interrupted();
  };
  auto choices = sqf::choose_inputs(source, plan, *calibrated.statistics, windows, search);
  if (!choices || journal == nullptr) return choices;
  if (auto r = journal->keep_choices(*choices); !r) return r.error();
  return choices;
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
    const bool chosen = tensor.range != sqf::Range::minmax && tensor.encoding.row_factor != 0;
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

sqf::Result<sqf::Json> evaluate_file(const sqf::ConversionArguments& a,
                                     const sqf::SourceModel& source) {
  sqf::ProgressBar bar(!a.quiet);
  sqf::EvaluateOptions options;
  options.threads = a.threads;
  options.memory_limit = static_cast<uint64_t>(a.calibration.memory_limit) * 1000000;
  options.progress = [&](uint64_t done, uint64_t total) {
    bar.show(done, total, "evaluating");
    return !sqf::interrupted();
  };
  return sqf::evaluate(source, a.output, a.evaluation, options);
}

/// A path need not be UTF-8; JSON must be.
void print(const sqf::Json& json) {
  std::printf("%s\n", json.dump(1, ' ', false, sqf::Json::error_handler_t::replace).c_str());
}

/// The last lines, for people.
void tell(const sqf::ConversionArguments& a, const sqf::Plan& plan,
          const sqf::ConvertReport& report, double seconds, const sqf::Json& evaluation) {
  std::printf("%s: %.1f MB in %.2f s (%.2f GB/s read), squared error %.3g of the weights' energy\n",
              a.output.c_str(), static_cast<double>(report.file_bytes) / 1e6, seconds,
              static_cast<double>(plan.source_bytes) / 1e9 / seconds, relative_error(report));
  if (evaluation.is_null()) return;
  std::printf("perplexity %.3f, the source's %.3f; KL divergence %.4f, %.1f %% same first choice\n",
              evaluation["file"]["perplexity"].get<double>(),
              evaluation["source"]["perplexity"].get<double>(),
              evaluation["kl"]["mean"].get<double>(),
              100 * evaluation["top1_agreement"].get<double>());
}

/// What is left once it is known what calibration there is.
sqf::Result<void> convert(const sqf::ConversionArguments& a, sqf::PlanOptions& options,
                          const sqf::SourceModel& source, Calibrated& calibrated,
                          const sqf::ConversionMemory& memory, sqf::Journal* journal) {
  if (calibrated.statistics) options.statistics = &*calibrated.statistics;
  auto plan = sqf::make_plan(source, options);
  if (!plan) return plan.error();
  const auto told = [&] {
    sqf::Json json = sqf::plan_json(*plan);
    json["memory"] = sqf::memory_json(memory);
    return json;
  };
  if (a.json && a.dry_run)
    print(told());
  else if (!a.quiet && !a.json)
    std::printf("%s%s\n", sqf::plan_text(*plan).c_str(), sqf::memory_text(memory).c_str());
  if (a.dry_run) return {};

  const auto start = std::chrono::steady_clock::now();
  sqf::ConvertOptions how;
  how.threads = a.threads;
  how.replace = a.force;
  how.compress = a.compress;
  how.quality = !a.report.empty();
  const std::filesystem::path spill = sqf::spill_file(a, memory, journal);
  auto choices = choose(a, source, *plan, calibrated, journal, spill);
  if (!choices) return choices.error();
  how.choices = *choices;
  how.tokens = calibrated.tokens ? &*calibrated.tokens : nullptr;
  how.journal = journal;
  how.spill = spill;
  how.gptq = {sqf::gptq_order(a), a.damping};
  how.behind_rounded = a.hessian == "quantized";
  how.recipe = sqf::recipe(a, options, *plan);
  if (options.statistics != nullptr) {
    how.calibration = sqf::calibration_json(*options.statistics);
    const sqf::Json inputs = sqf::choices_json(*plan, *choices);
    if (!inputs.empty()) how.calibration["inputs"] = inputs;
  }
  sqf::Result<sqf::ConvertReport> result = sqf::usage_error("");
  {
    sqf::ProgressBar bar(!a.quiet);
    how.progress = [&](uint64_t done, uint64_t total, const std::string& name) {
      bar.show(done, total, name);
      return !sqf::interrupted();
    };
    result = sqf::convert(source, *plan, a.output, how);
  }
  if (!result) return result.error();
  warn_of_loss(*plan, *result);
  // What was written must open: a converter that cannot read its own file has failed.
  if (auto written = sqf::ModelFile::open(a.output); !written) return written.error();
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  sqf::Json evaluation;
  if (!a.evaluation.empty()) {
    auto measured = evaluate_file(a, source);
    if (!measured) return measured.error();
    evaluation = std::move(*measured);
  }
  if (!a.report.empty()) {
    auto document = sqf::report_document(a, source, *plan, options, *choices, *result, seconds);
    if (!document) return document.error();
    (*document)["evaluation"] = evaluation;
    if (auto r = sqf::write_report(*document, a.report, a.force); !r) return r;
  }
  if (a.json) {
    sqf::Json json = told();
    if (!evaluation.is_null()) json["evaluation"] = evaluation;
    json["file"] = a.output;
    json["file_bytes"] = result->file_bytes;
    json["seconds"] = seconds;
    json["relative_squared_error"] = relative_error(*result);
    print(json);
  } else if (!a.quiet) {
    tell(a, *plan, *result, seconds, evaluation);
  }
  return {};
}

/// What would fail after the work is told before it.
sqf::Result<void> check_report_files(const sqf::ConversionArguments& a) {
  std::error_code ignored;
  if (!a.report.empty()) {
    if (auto r = sqf::check_report_name(a.report); !r) return r;
    if (!a.force && std::filesystem::exists(a.report, ignored))
      return sqf::io_error(a.report + ": exists already (--force replaces it)");
  }
  if (a.evaluation.empty()) return {};
  auto text = sqf::Mapping::open(a.evaluation);
  if (!text) return text.error();
  const auto bytes = text->bytes();
  const auto at =
      sqf::find_invalid_utf8({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  if (at) return sqf::malformed(a.evaluation + " is not UTF-8 at byte " + std::to_string(*at));
  return {};
}

sqf::Result<void> run(const sqf::ConversionArguments& a) {
  auto options = sqf::plan_options(a);
  if (!options) return options.error();
  auto source = sqf::open_source(a.input);
  if (!source) return source.error();
  if (!a.dry_run) {
    if (a.output.empty()) return sqf::usage_error("-o OUTPUT is missing (--dry-run needs none)");
    if (sqf::is_input(a.output, a.input, *source))
      return sqf::usage_error(a.output + ": is an input");
  }
  if (auto r = check_report_files(a); !r) return r;
  sqf::catch_signals();
  auto plan = sqf::make_plan(*source, *options);
  if (!plan) return plan.error();
  const auto wanted = wanted_for(a, *plan);
  if (!wanted) return wanted.error();
  Calibrated calibrated;
  if (wanted->tokens) {
    auto tokens = sqf::read_tokens(*source, a.calibration);
    if (!tokens) return tokens.error();
    calibrated.tokens = std::move(*tokens);
    if (auto r = fit_budget(a, *source, *plan, &*calibrated.tokens); !r) return r;
  } else if (!a.time_budget.empty() && !a.dry_run) {
    return sqf::usage_error("--time-budget is for calibration, and nothing here calibrates");
  }
  const sqf::CalibrationTokens* tokens = calibrated.tokens ? &*calibrated.tokens : nullptr;
  const sqf::ConversionMemory memory =
      sqf::memory_for(a, *plan, *source, wanted->statistics, tokens);
  const auto limit = static_cast<uint64_t>(a.calibration.memory_limit) * 1000000;
  if (auto r = sqf::check_memory(memory, limit); !r) return r;
  if (!a.dry_run && tokens != nullptr)
    if (auto r = sqf::try_memory(memory); !r) return r;
  auto work = sqf::open_work(a, *source, tokens, sqf::needs_of(*plan).forward);
  if (!work) return work.error();
  if (work->finished) {
    if (!a.quiet) std::fprintf(stderr, "sqconv: %s: is complete\n", a.output.c_str());
    return {};
  }
  sqf::Journal* const journal = work->journal.get();
  if (wanted->statistics) {
    auto statistics = statistics_for(a, *source, plan->description, tokens, journal,
                                     sqf::spill_file(a, memory, journal));
    if (!statistics) return sqf::stopped(statistics.error(), a, journal);
    calibrated.statistics = std::move(*statistics);
  }
  if (auto r = convert(a, *options, *source, calibrated, memory, journal); !r)
    return sqf::stopped(r.error(), a, journal);
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
  sqf::ConversionArguments arguments;
  // "sqconv plan ..." is "sqconv ... --dry-run".
  arguments.dry_run = argc > 1 && std::string_view(argv[1]) == "plan";
  if (arguments.dry_run) argc--, argv++;
  CLI::App app("Converts a language model to one quantized .sqf file.", "sqconv");
  sqf::declare_conversion(app, arguments);
  for (int i = 0; i < argc; i++) arguments.command += (i > 0 ? " " : "") + std::string(argv[i]);
  if (const auto code = sqf::parse_arguments(app, argc, argv)) return *code;
  try {
    if (auto r = run(arguments); !r) return sqf::report("sqconv", r.error());
  } catch (const std::exception& e) {
    return sqf::report("sqconv", sqf::io_error(e.what()));
  }
  return sqf::close_output("sqconv", 0);
}

// sqrun ppl: perplexity of a text, in windows that do not overlap. Lines, windows and the error
// are defined as in bench/windows.py, so that figures compare.

#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>

#include "apps/device.hpp"
#include "apps/perplexity.hpp"
#include "apps/report.hpp"
#include "apps/sqrun.hpp"
#include "format/hash.hpp"
#include "format/json.hpp"
#include "runtime/text_model.hpp"

namespace sqf {
namespace {

struct PplArguments {
  std::string model, text, lines = "0%-100%";
  DeviceChoice device;
  int64_t window = 512, windows = 0;
  EngineOptions engine;
  bool json = false;
};

/// What is scored of a text.
struct Lines {
  std::string text;
  size_t first = 0, end = 0;  ///< lines
  std::string hash;           ///< XXH3-64 of the whole file, in hex, as CALB has it
};

/// Lines from `low` to `high` percent: of N lines those from floor(N low / 100) on.
Result<Lines> read_lines(const PplArguments& a) {
  int low = 0, high = 0, used = 0;
  if (std::sscanf(a.lines.c_str(), "%d%%-%d%%%n", &low, &high, &used) != 2 ||
      used != static_cast<int>(a.lines.size()) || low < 0 || high > 100 || low >= high)
    return usage_error("--lines " + a.lines + ": expected e.g. 60%-100%");
  auto input = read_input(a.text);
  if (!input) return input.error();
  const std::string& text = *input;
  if (auto r = check_text(text, a.text); !r) return r.error();
  std::vector<size_t> starts = {0};
  for (size_t i = 0; i < text.size(); i++)
    if (text[i] == '\n' && i + 1 < text.size()) starts.push_back(i + 1);
  const size_t count = starts.size();
  starts.push_back(text.size());
  Lines lines;
  lines.first = count * static_cast<size_t>(low) / 100;
  lines.end = count * static_cast<size_t>(high) / 100;
  lines.text = text.substr(starts[lines.first], starts[lines.end] - starts[lines.first]);
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016llx",
                static_cast<unsigned long long>(hash_bytes(std::as_bytes(std::span(text)))));
  lines.hash = digits;
  return lines;
}

/// Some of these lines were what the file was calibrated on, so they flatter it. What CALB says is
/// believed only as far as it can be read.
bool calibrated_on(const ModelFile& file, const Lines& lines) {
  const std::string_view text = file.head().section_text(SectionKind::calb);
  if (text.empty()) return false;
  const auto calb = parse_json(text, "CALB");
  if (!calb || !calb->is_object()) return false;
  const Json said = calb->value("text", Json());
  if (!said.is_object() || said.value("xxh3", Json()) != Json(lines.hash)) return false;
  const Json range = said.value("line_range", Json());
  if (!range.is_array() || range.size() != 2 || !range[0].is_number_unsigned() ||
      !range[1].is_number_unsigned())
    return false;
  return range[0].get<uint64_t>() < lines.end && lines.first < range[1].get<uint64_t>();
}

/// Mean negative log-likelihood of each window, first token unscored.
Result<std::vector<double>> score(const PplArguments& a, TextModel& model,
                                  std::span<const int32_t> tokens) {
  std::vector<double> means;
  ProgressBar bar(!a.json);
  const auto count = static_cast<int64_t>(tokens.size()) / a.window;
  for (int64_t w = 0; w < count; w++) {
    const auto window =
        tokens.subspan(static_cast<size_t>(w * a.window), static_cast<size_t>(a.window));
    auto nll = window_nll(model.engine(), window);
    if (!nll) return nll.error();
    means.push_back(*nll);
    bar.show(static_cast<uint64_t>(w + 1), static_cast<uint64_t>(count), "windows");
    if (interrupted()) return Error{Code::interrupted, "stopped", 0};
  }
  return means;
}

Result<void> run(PplArguments& a) {
  auto lines = read_lines(a);
  if (!lines) return lines.error();
  a.engine.context = a.window;
  auto model = TextModel::open(a.model, a.engine, engine_on(a.device, a.json));
  if (!model) return model.error();
  if (model->engine().context() < a.window)
    return usage_error("--window " + std::to_string(a.window) + ": the model's context is " +
                       std::to_string(model->engine().context()));
  auto tokens = model->tokenizer().encode(lines->text, false);
  if (!tokens) return tokens.error();
  const auto available = static_cast<int64_t>(tokens->size()) / a.window;
  const int64_t windows = a.windows == 0 ? available : a.windows;
  if (windows < 1 || windows > available)
    return usage_error(a.text + ": " + std::to_string(tokens->size()) + " tokens give " +
                       std::to_string(available) + " windows of " + std::to_string(a.window));
  const bool known = calibrated_on(model->file(), *lines);
  if (known)
    std::fprintf(stderr,
                 "sqrun ppl: warning: %s was calibrated on some of these lines, so the figure "
                 "flatters it\n",
                 a.model.c_str());
  auto means = score(a, *model, std::span(*tokens).first(static_cast<size_t>(windows * a.window)));
  if (!means) return means.error();
  const auto [nll, error] = window_mean(*means);
  if (a.json)
    std::printf("%s\n", Json{{"perplexity", std::exp(nll)},
                             {"nll", nll},
                             {"standard_error", error},
                             {"windows", windows},
                             {"window", a.window},
                             {"lines", a.lines},
                             {"calibrated_on", known},
                             {"window_nll", *means}}
                            .dump(1)
                            .c_str());
  else
    std::printf("perplexity %.4f (nll %.5f +- %.5f) over %lld windows of %lld tokens\n",
                std::exp(nll), nll, error, static_cast<long long>(windows),
                static_cast<long long>(a.window));
  return {};
}

}  // namespace

int run_perplexity(int argc, char** argv) {
  PplArguments a;
  a.engine.threads = available_cores();
  CLI::App app(
      "Perplexity of a text: the exponential of the mean negative log-likelihood per token.",
      "sqrun ppl");
  app.add_option("model", a.model, "the .sqf file")->required();
  app.add_option("text", a.text, "a UTF-8 text")->required();
  app.add_option("--window", a.window, "tokens per window; the first of each is not scored")
      ->check(CLI::Range(int64_t{2}, int64_t{1} << 20))
      ->capture_default_str();
  app.add_option("--windows", a.windows, "how many windows; 0: all that fit")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--lines", a.lines, "part of the text, by lines")->capture_default_str();
  app.add_option("-t,--threads", a.engine.threads, "threads")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  declare_device(app, &a.device);
  app.add_flag("--exact", a.engine.exact, "f32 activations");
  app.add_flag("--json", a.json, "the result as JSON, with each window's mean");
  if (const auto code = parse_arguments(app, argc, argv)) return *code;
  catch_signals();
  auto done = run(a);
  return done ? 0 : report("sqrun ppl", done.error());
}

}  // namespace sqf

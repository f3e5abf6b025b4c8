// sqrun MODEL: one prompt, one question under the chat template, or a conversation.

#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <iterator>

#include "apps/device.hpp"
#include "apps/report.hpp"
#include "apps/sqrun.hpp"
#include "runtime/text_model.hpp"

namespace sqf {
namespace {

constexpr const char* kFooter = R"(Examples:
  sqrun model.sqf -p "Once upon a time" -n 100 --temp 0.8
  sqrun model.sqf --chat -p "What is the capital of France?"
  sqrun model.sqf --chat                 a conversation; /reset forgets, /exit ends, Ctrl-C stops an answer
  sqrun bench model.sqf                  tokens per second
  sqrun ppl model.sqf text.txt           perplexity

Each command has its own --help. Text goes to stdout, timings to stderr.
Exit codes: 0 good, 1 malformed file, 2 usage, 3 environment or I/O, 4 unsupported, 5 interrupted.)";

struct GenerateArguments {
  std::string model, prompt, file, system;
  DeviceChoice device;
  bool chat = false, quiet = false, json = false;
  int64_t limit = 256;
  EngineOptions engine;
  SamplerOptions sampler;
};

void declare(CLI::App& app, GenerateArguments& a) {
  // Ranges let NaN through.
  const CLI::Validator number(
      [](const std::string& text) {
        return std::isnan(std::strtod(text.c_str(), nullptr)) ? text + " is no number" : "";
      },
      "");
  app.add_option("model", a.model, "the .sqf file")->required();
  app.add_option("-p,--prompt", a.prompt, "the prompt; - reads it from stdin");
  app.add_option("-f,--file", a.file, "read the prompt from a file");
  app.add_flag("--chat,-i", a.chat, "use the chat template; without a prompt: a conversation");
  app.add_option("--system", a.system, "system message, with --chat");
  app.add_option("-n,--tokens", a.limit, "generate at most so many")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 40))
      ->capture_default_str();
  app.add_option("--temp", a.sampler.temperature, "temperature; 0 takes the likeliest token")
      ->check(CLI::Range(0.0, 100.0) & number)
      ->capture_default_str();
  app.add_option("--top-k", a.sampler.top_k, "draw from so many; 0: all")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--top-p", a.sampler.top_p,
                 "draw from the likeliest with this much probability together")
      ->check(CLI::Range(0.0, 1.0) & number)
      ->capture_default_str();
  app.add_option("--min-p", a.sampler.min_p,
                 "draw from those with this share of the likeliest's probability")
      ->check(CLI::Range(0.0, 1.0) & number)
      ->capture_default_str();
  app.add_option("--seed", a.sampler.seed, "seed of the draw")->capture_default_str();
  app.add_option("-c,--context", a.engine.context, "positions to keep, at most the model's own")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 26))
      ->capture_default_str();
  app.add_option("-t,--threads", a.engine.threads, "threads")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  declare_device(app, &a.device);
  app.add_flag("--exact", a.engine.exact, "f32 activations: slower, for comparisons");
  app.add_flag("-q,--quiet", a.quiet, "no timings");
  app.add_flag("--json", a.json, "print text and timings as one JSON object");
  app.set_version_flag("--version", std::string("sqrun 1.0.0 (SQF 1.0)"));
  app.footer(kFooter);
}

double milliseconds(double seconds) {
  return seconds * 1e3;
}
double rate(int64_t tokens, double seconds) {
  return static_cast<double>(tokens) / std::max(seconds, 1e-9);
}

Json timings(TextModel& model, const Generation& g, double load_seconds) {
  rusage usage = {};
  ::getrusage(RUSAGE_SELF, &usage);
  // The first token comes out of the prompt; each further one is a pass over the weights.
  const int64_t steps = std::max<int64_t>(g.generated_tokens - 1, 0);
  const double speed = steps > 0 ? rate(steps, g.decode_seconds) : 0;
  return {{"load_ms", milliseconds(load_seconds)},
          {"prompt_tokens", g.prompt_tokens},
          {"prompt_tokens_per_second", rate(g.prompt_tokens, g.prompt_seconds)},
          {"first_token_ms", milliseconds(load_seconds + g.prompt_seconds)},
          {"generated_tokens", g.generated_tokens},
          {"tokens_per_second", speed},
          {"gb_per_second", speed * static_cast<double>(model.engine().weight_bytes()) / 1e9},
          {"peak_rss_mb", static_cast<double>(usage.ru_maxrss) / 1024}};
}

void print_timings(const Json& t) {
  std::fprintf(stderr,
               "\n[load %.0f ms | prompt %lld tokens, %.0f tokens/s | first token %.0f ms | decode "
               "%lld tokens, "
               "%.1f tokens/s, %.1f GB/s | peak %.0f MB]\n",
               t["load_ms"].get<double>(), t["prompt_tokens"].get<long long>(),
               t["prompt_tokens_per_second"].get<double>(), t["first_token_ms"].get<double>(),
               t["generated_tokens"].get<long long>(), t["tokens_per_second"].get<double>(),
               t["gb_per_second"].get<double>(), t["peak_rss_mb"].get<double>());
}

void emit(std::string_view piece) {
  std::fwrite(piece.data(), 1, piece.size(), stdout);
  std::fflush(stdout);
}

Result<std::string> read_prompt(const GenerateArguments& a) {
  if (!a.file.empty()) return read_input(a.file);
  if (a.prompt == "-") return std::string(std::istreambuf_iterator<char>(std::cin), {});
  return a.prompt;
}

std::vector<Message> opening(const GenerateArguments& a) {
  if (a.system.empty()) return {};
  return {{"system", a.system}};
}

Result<void> converse(const GenerateArguments& a, TextModel& model, double load_seconds) {
  if (auto r = check_text(a.system, "--system"); !r) return r;
  std::vector<Message> messages = opening(a);
  Sampler sampler(a.sampler);
  const bool terminal = ::isatty(STDIN_FILENO) != 0;
  std::string line;
  while (true) {
    if (terminal) std::fputs("> ", stderr);
    clear_interrupt();
    const bool ended = interrupted() || !std::getline(std::cin, line) || line == "/exit";
    clear_interrupt();
    if (interrupted()) return Error{Code::interrupted, "stopped", 0};
    if (ended) return {};
    if (line.empty()) continue;
    if (line == "/reset") {
      messages = opening(a);
      continue;
    }
    if (auto r = check_text(line, "prompt"); !r) return r;
    messages.push_back({"user", line});
    auto tokens = model.conversation(messages);
    if (!tokens) return tokens.error();
    auto g = model.generate(*tokens, a.limit, sampler, emit, interrupted);
    if (!g) return g.error();
    messages.push_back({"assistant", g->text});
    std::fputs("\n", stdout);
    if (!a.quiet) print_timings(timings(model, *g, load_seconds));
  }
}

Result<void> answer(const GenerateArguments& a, TextModel& model, double load_seconds) {
  if (auto r = check_text(a.system, "--system"); !r) return r;
  auto prompt = read_prompt(a);
  if (!prompt) return prompt.error();
  if (prompt->empty()) return usage_error("the prompt is empty");
  if (auto r = check_text(*prompt, a.file.empty() ? "prompt" : a.file); !r) return r;
  std::vector<Message> messages = opening(a);
  messages.push_back({"user", *prompt});
  auto tokens = a.chat ? model.conversation(messages) : model.prompt(*prompt);
  if (!tokens) return tokens.error();
  Sampler sampler(a.sampler);
  auto g = model.generate(*tokens, a.limit, sampler, a.json ? nullptr : emit, interrupted);
  if (!g) return g.error();
  const Json t = timings(model, *g, load_seconds);
  if (a.json) {
    Json json = t;
    json["text"] = g->text;
    std::printf("%s\n", json.dump(1, ' ', false, Json::error_handler_t::replace).c_str());
  } else {
    std::fputs("\n", stdout);
    if (!a.quiet) print_timings(t);
  }
  if (g->stop == StopReason::context_full && !a.quiet)
    std::fprintf(stderr, "sqrun: the context of %lld tokens is full\n",
                 static_cast<long long>(model.engine().context()));
  if (g->stop == StopReason::interrupted) return Error{Code::interrupted, "stopped", 0};
  return {};
}

}  // namespace

int run_generate(int argc, char** argv) {
  GenerateArguments a;
  a.engine.threads = available_cores();
  CLI::App app("Generates text with an .sqf model.", "sqrun");
  declare(app, a);
  if (const auto code = parse_arguments(app, argc, argv)) return *code;
  const bool has_prompt = app.count("-p") + app.count("-f") > 0;
  if (!has_prompt && !a.chat)
    return report("sqrun", usage_error("no prompt: -p TEXT, -f FILE, or --chat"));
  const auto start = std::chrono::steady_clock::now();
  auto model = TextModel::open(a.model, a.engine, engine_on(a.device, a.quiet));
  if (!model) return report("sqrun", model.error());
  const double load =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  catch_signals();
  auto done = has_prompt ? answer(a, *model, load) : converse(a, *model, load);
  return done ? 0 : report("sqrun", done.error());
}

}  // namespace sqf

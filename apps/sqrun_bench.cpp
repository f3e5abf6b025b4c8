// sqrun bench: tokens per second, prompt and decode apart, with their spread.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>

#include "apps/device.hpp"
#include "apps/report.hpp"
#include "apps/sqrun.hpp"
#include "runtime/text_model.hpp"

namespace sqf {
namespace {

struct BenchArguments {
  std::string model;
  DeviceChoice device;
  int64_t prompt = 512, generate = 128, repeat = 5;
  std::vector<int> threads = {available_cores()};
  bool exact = false, json = false;
};

struct Row {
  std::string test;
  int threads;
  int64_t tokens;
  std::vector<double> seconds;
  double cpu_seconds = 0;  ///< of all repetitions
};

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double cpu_now() {
  return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

/// One repetition: `prompt` tokens at once, or `generate` one by one.
Result<double> once(Engine& engine, int64_t prompt, int64_t generate) {
  const auto vocab = engine.description().vocab_size;
  const auto token = [&](int64_t i) { return static_cast<int32_t>((i * 7919 + 13) % vocab); };
  engine.rewind(0);
  const double start = now();
  if (prompt > 0) {
    std::vector<int32_t> tokens;
    for (int64_t i = 0; i < prompt; i++) tokens.push_back(token(i));
    if (auto r = engine.forward(tokens); !r) return r.error();
  }
  for (int64_t i = 0; i < generate; i++) {
    const int32_t next = token(i);
    if (auto r = engine.forward(std::span(&next, 1)); !r) return r.error();
  }
  return now() - start;
}

Result<std::vector<Row>> measure(const BenchArguments& a) {
  auto file = ModelFile::open(a.model);
  if (!file) return file.error();
  std::vector<Row> rows;
  for (int threads : a.threads) {
    EngineOptions options;
    options.threads = threads;
    options.exact = a.exact;
    options.context = std::max(a.prompt, a.generate);
    auto engine = engine_on(a.device, a.json)(*file, options);
    if (!engine) return engine.error();
    for (const bool decode : {false, true}) {
      const int64_t prompt = decode ? 0 : a.prompt, generate = decode ? a.generate : 0;
      if (prompt + generate == 0) continue;
      Row row{(decode ? "tg" : "pp") + std::to_string(prompt + generate),
              threads,
              prompt + generate,
              {},
              0};
      if (auto warm = once(*engine, std::min<int64_t>(prompt, 64), std::min<int64_t>(generate, 4));
          !warm)
        return warm.error();
      const double cpu = cpu_now();
      for (int64_t i = 0; i < a.repeat && !interrupted(); i++) {
        auto seconds = once(*engine, prompt, generate);
        if (!seconds) return seconds.error();
        row.seconds.push_back(*seconds);
      }
      if (interrupted()) return Error{Code::interrupted, "stopped", 0};
      row.cpu_seconds = cpu_now() - cpu;
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

Json row_json(const BenchArguments& a, const Row& row, double weight_gb) {
  const double best = *std::min_element(row.seconds.begin(), row.seconds.end());
  const double worst = *std::max_element(row.seconds.begin(), row.seconds.end());
  const double middle = median(row.seconds);
  const auto tokens = static_cast<double>(row.tokens);
  const bool decode = row.test[0] == 't';
  return {{"model", a.model},
          {"test", row.test},
          {"threads", row.threads},
          {"isa", isa_name(best_isa())},
          {"exact", a.exact},
          {"tokens_per_second", tokens / middle},
          {"tokens_per_second_best", tokens / best},
          {"tokens_per_second_worst", tokens / worst},
          {"repeat", row.seconds.size()},
          {"gb_per_second", decode ? weight_gb * tokens / middle : weight_gb / middle},
          {"cpu_seconds_per_token",
           row.cpu_seconds / tokens / static_cast<double>(row.seconds.size())}};
}

}  // namespace

int run_bench(int argc, char** argv) {
  BenchArguments a;
  CLI::App app(
      "Measures tokens per second: a prompt at once (pp), tokens one by one (tg). Medians.",
      "sqrun bench");
  app.add_option("model", a.model, "the .sqf file")->required();
  app.add_option("-p", a.prompt, "tokens of the prompt; 0 leaves this test out")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 20))
      ->capture_default_str();
  app.add_option("-n", a.generate, "tokens one by one; 0 leaves this test out")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 20))
      ->capture_default_str();
  app.add_option("-r", a.repeat, "repetitions")->check(CLI::Range(1, 10000))->capture_default_str();
  app.add_option("-t", a.threads, "thread counts, e.g. 1,2")
      ->delimiter(',')
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  declare_device(app, &a.device);
  app.add_flag("--exact", a.exact, "f32 activations");
  app.add_flag("--json", a.json, "a list of one object per test");
  if (const auto code = parse_arguments(app, argc, argv)) return *code;
  if (a.prompt + a.generate == 0)
    return report("sqrun bench", usage_error("-p 0 and -n 0 leave nothing to measure"));
  catch_signals();
  auto rows = measure(a);
  if (!rows) return report("sqrun bench", rows.error());
  auto file = ModelFile::open(a.model);
  if (!file) return report("sqrun bench", file.error());
  auto engine = Engine::create(*file, {});
  if (!engine) return report("sqrun bench", engine.error());
  const double weight_gb = static_cast<double>(engine->weight_bytes()) / 1e9;
  Json list = Json::array();
  for (const Row& row : *rows) list.push_back(row_json(a, row, weight_gb));
  if (a.json) {
    std::printf("%s\n", list.dump(1, ' ', false, Json::error_handler_t::replace).c_str());
    return 0;
  }
  std::printf(
      "| test | threads | tokens/s | worst .. best | GB/s of weights | CPU ms/token "
      "|\n|---|---|---|---|---|---|\n");
  for (const Json& r : list)
    std::printf("| %s | %d | %.1f | %.1f .. %.1f | %.2f | %.3f |\n",
                r["test"].get<std::string>().c_str(), r["threads"].get<int>(),
                r["tokens_per_second"].get<double>(), r["tokens_per_second_worst"].get<double>(),
                r["tokens_per_second_best"].get<double>(), r["gb_per_second"].get<double>(),
                r["cpu_seconds_per_token"].get<double>() * 1e3);
  return 0;
}

}  // namespace sqf

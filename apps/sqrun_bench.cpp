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
  std::vector<int64_t> batches = {1};
  bool exact = false, json = false;
};

/// What is repeated: `prompt` tokens at once, or `generate` in steps of `batch`.
struct Work {
  int64_t prompt = 0, generate = 0, batch = 1;
};

struct Row {
  std::string test;
  int threads;
  int64_t batch;
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

Result<double> once(Engine& engine, const Work& work) {
  const auto vocab = engine.description().vocab_size;
  const auto tokens = [&](int64_t first, int64_t count) {
    std::vector<int32_t> list;
    for (int64_t i = first; i < first + count; i++)
      list.push_back(static_cast<int32_t>((i * 7919 + 13) % vocab));
    return list;
  };
  engine.rewind(0);
  const double start = now();
  if (work.prompt > 0)
    if (auto r = engine.forward(tokens(0, work.prompt)); !r) return r.error();
  // Each token of a step wants its logits, as the next tokens of so many sequences would.
  const auto wanted = work.batch > 1 ? LogitsOf::all_tokens : LogitsOf::last_token;
  for (int64_t i = 0; i < work.generate; i += work.batch)
    if (auto r = engine.forward(tokens(i, std::min(work.batch, work.generate - i)), wanted); !r)
      return r.error();
  return now() - start;
}

Result<Row> measure_one(const BenchArguments& a, Engine& engine, int threads, const Work& work) {
  const bool decode = work.generate > 0;
  Row row{(decode ? "tg" : "pp") + std::to_string(work.prompt + work.generate),
          threads,
          work.batch,
          work.prompt + work.generate,
          {},
          0};
  const Work little = {std::min<int64_t>(work.prompt, 64),
                       std::min<int64_t>(work.generate, 4 * work.batch), work.batch};
  if (auto warm = once(engine, little); !warm) return warm.error();
  const double cpu = cpu_now();
  for (int64_t i = 0; i < a.repeat && !interrupted(); i++) {
    auto seconds = once(engine, work);
    if (!seconds) return seconds.error();
    row.seconds.push_back(*seconds);
  }
  if (interrupted()) return Error{Code::interrupted, "stopped", 0};
  row.cpu_seconds = cpu_now() - cpu;
  return row;
}

Result<std::vector<Row>> measure(const BenchArguments& a) {
  auto file = ModelFile::open(a.model);
  if (!file) return file.error();
  std::vector<Work> works;
  if (a.prompt > 0) works.push_back({a.prompt, 0, 1});
  for (const int64_t batch : a.batches)
    if (a.generate > 0) works.push_back({0, a.generate, batch});
  std::vector<Row> rows;
  for (int threads : a.threads) {
    EngineOptions options;
    options.threads = threads;
    options.exact = a.exact;
    options.context = std::max(a.prompt, a.generate);
    auto engine = engine_on(a.device, a.json)(*file, options);
    if (!engine) return engine.error();
    for (const Work& work : works) {
      auto row = measure_one(a, *engine, threads, work);
      if (!row) return row.error();
      rows.push_back(std::move(*row));
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
          {"batch", row.batch},
          {"isa", isa_name(best_isa())},
          {"exact", a.exact},
          {"tokens_per_second", tokens / middle},
          {"tokens_per_second_best", tokens / best},
          {"tokens_per_second_worst", tokens / worst},
          {"repeat", row.seconds.size()},
          {"gb_per_second", decode ? weight_gb * tokens / static_cast<double>(row.batch) / middle
                                   : weight_gb / middle},
          {"cpu_seconds_per_token",
           row.cpu_seconds / tokens / static_cast<double>(row.seconds.size())}};
}

}  // namespace

int run_bench(int argc, char** argv) {
  BenchArguments a;
  CLI::App app(
      "Measures tokens per second: a prompt at once (pp), tokens one after another (tg). Medians.",
      "sqrun bench");
  app.add_option("model", a.model, "the .sqf file")->required();
  app.add_option("-p", a.prompt, "tokens of the prompt; 0 leaves this test out")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 20))
      ->capture_default_str();
  app.add_option("-n", a.generate, "tokens one after another; 0 leaves this test out")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 20))
      ->capture_default_str();
  app.add_option("-r", a.repeat, "repetitions")->check(CLI::Range(1, 10000))->capture_default_str();
  app.add_option("-t", a.threads, "thread counts, e.g. 1,2")
      ->delimiter(',')
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option(
         "-b,--batch", a.batches,
         "tokens of a step when decoding, e.g. 1,4,16: so many go through the model together")
      ->delimiter(',')
      ->check(CLI::Range(int64_t{1}, int64_t{512}))
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
      "| test | threads | batch | tokens/s | worst .. best | GB/s of weights | CPU ms/token "
      "|\n|---|---|---|---|---|---|---|\n");
  for (const Json& r : list)
    std::printf("| %s | %d | %d | %.1f | %.1f .. %.1f | %.2f | %.3f |\n",
                r["test"].get<std::string>().c_str(), r["threads"].get<int>(),
                r["batch"].get<int>(), r["tokens_per_second"].get<double>(),
                r["tokens_per_second_worst"].get<double>(),
                r["tokens_per_second_best"].get<double>(), r["gb_per_second"].get<double>(),
                r["cpu_seconds_per_token"].get<double>() * 1e3);
  return 0;
}

}  // namespace sqf

#include "converter/calibration/statistics.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>

#include "converter/calibration/block.hpp"
#include "converter/calibration/steps.hpp"

namespace sqf {
namespace {

constexpr int64_t kInputsPerLayer = 4;

/// Sums over the tokens of one window or of all.
struct ChannelSums {
  std::vector<float> abs_max;
  std::vector<double> abs, square, gram;

  ChannelSums(int64_t columns, bool with_gram)
      : abs_max(static_cast<size_t>(columns)),
        abs(abs_max.size()),
        square(abs_max.size()),
        gram(with_gram ? abs_max.size() * abs_max.size() : 0) {}
};

/// Takes the windows' sums in the order of the windows, whoever computed them. A thread may wait
/// here for windows before its own; these are all being worked on, and the first waits for nobody.
class OrderedSums {
 public:
  OrderedSums(int64_t columns, bool with_gram) : sums(columns, with_gram) {}

  void add(int64_t window, const float* abs_max, const double* abs, const double* square,
           const float* gram) {
    std::unique_lock lock(mutex_);
    turned_.wait(lock, [&] { return next_ == window; });
    for (size_t k = 0; k < sums.abs_max.size(); k++) {
      sums.abs_max[k] = std::max(sums.abs_max[k], abs_max[k]);
      sums.abs[k] += abs[k];
      sums.square[k] += square[k];
    }
    for (size_t i = 0; i < sums.gram.size(); i++) sums.gram[i] += static_cast<double>(gram[i]);
    next_++;
    turned_.notify_all();
  }

  ChannelSums sums;

 private:
  std::mutex mutex_;
  std::condition_variable turned_;
  int64_t next_ = 0;
};

/// One thread's share: buffers for the widest input.
struct Worker {
  BlockScratch scratch;
  std::vector<float> abs_max, gram;
  std::vector<double> abs, square;
  Panels panels;

  Worker(const BlockContext& context, int64_t widest, bool with_gram)
      : scratch(context),
        abs_max(static_cast<size_t>(widest)),
        gram(with_gram ? static_cast<size_t>(widest * widest) : 0),
        abs(abs_max.size()),
        square(abs_max.size()) {
    if (with_gram) panels.resize(context.length, widest);
  }

  void sum_up(const float* x, int64_t tokens, int64_t columns) {
    std::fill(abs_max.begin(), abs_max.end(), 0.0f);
    std::fill(abs.begin(), abs.end(), 0.0);
    std::fill(square.begin(), square.end(), 0.0);
    for (int64_t t = 0; t < tokens; t++)
      add_channels(x + t * columns, columns, abs_max.data(), abs.data(), square.data());
    if (gram.empty()) return;
    panels.resize(tokens, columns);
    pack_columns(x, columns, &panels);
    multiply({{x, 1, columns}, columns, panels, tokens, columns, gram.data(), columns});
  }
};

/// Runs all windows through one block, or through the norm before the head.
class Pass {
 public:
  using Step = std::function<void(Worker&, int64_t window, const InputVisitor&)>;

  Pass(int64_t windows, int64_t first_input, const std::vector<int64_t>& columns, bool with_gram)
      : windows_(windows), first_(first_input) {
    for (const int64_t count : columns)
      sums_.push_back(std::make_unique<OrderedSums>(count, with_gram));
  }

  /// False: `go_on` stopped it.
  bool run(std::vector<Worker>& workers, const Step& step,
           const std::function<bool(int64_t)>& go_on) {
    std::vector<std::jthread> team;
    try {
      for (size_t i = 1; i < workers.size(); i++)
        team.emplace_back([&, i] { work(workers[i], step, nullptr); });
    } catch (const std::system_error&) {
      // The threads that there are do it all.
    }
    work(workers[0], step, go_on);
    team.clear();
    return !stopped_ && (!go_on || go_on(windows_));
  }

  ChannelSums& sums(size_t input) { return sums_[input]->sums; }

 private:
  void work(Worker& worker, const Step& step, const std::function<bool(int64_t)>& go_on) {
    while (!stopped_) {
      const int64_t window = next_++;
      if (window >= windows_) return;
      step(worker, window, [&](int64_t input, const float* x, int64_t tokens, int64_t columns) {
        worker.sum_up(x, tokens, columns);
        sums_[static_cast<size_t>(input - first_)]->add(window, worker.abs_max.data(),
                                                        worker.abs.data(), worker.square.data(),
                                                        worker.gram.data());
      });
      if (go_on && !go_on(std::min(next_.load(), windows_))) stopped_ = true;
    }
  }

  int64_t windows_, first_;
  std::atomic<int64_t> next_ = 0;
  std::atomic<bool> stopped_ = false;
  std::vector<std::unique_ptr<OrderedSums>> sums_;
};

InputStatistics means(const ChannelSums& sums, int64_t count) {
  InputStatistics out;
  out.abs_max = sums.abs_max;
  for (const double sum : sums.abs) out.mean_abs.push_back(sum / static_cast<double>(count));
  for (const double sum : sums.square) out.mean_square.push_back(sum / static_cast<double>(count));
  return out;
}

std::string megabytes(uint64_t bytes) {
  return std::to_string(bytes / 1000000) + " MB";
}

class Gathering {
 public:
  Gathering(const SourceModel& source, const CalibrationTokens& tokens, const BlockContext& context,
            const StatisticsOptions& options)
      : source_(source),
        tokens_(tokens),
        context_(context),
        options_(options),
        columns_(input_columns(context.description)) {}

  Result<Statistics> run() {
    const ModelDescription& d = context_.description;
    x_.resize(tokens_.ids.size() * static_cast<size_t>(d.hidden_size));
    if (auto r = embed_tokens(source_, d, tokens_.ids, x_.data()); !r) return r.error();
    const int64_t widest = *std::max_element(columns_.begin(), columns_.end());
    const int64_t team = std::min<int64_t>(std::max(options_.threads, 1), tokens_.windows);
    for (int64_t i = 0; i < team; i++)
      workers_.emplace_back(context_, widest, options_.gram != nullptr);
    out_.text = tokens_.text;
    out_.windows = tokens_.windows;
    out_.length = tokens_.length;
    for (int64_t layer = 0; layer < d.layers; layer++) {
      auto block = Block::read(source_, context_, layer);
      if (!block) return block.error();
      const auto step = [&](Worker& w, int64_t window, const InputVisitor& visit) {
        block->forward(context_, stream(window), w.scratch, visit);
      };
      if (auto r = pass(layer, kInputsPerLayer, step); !r) return r.error();
    }
    auto norm = read_final_norm(source_, d);
    if (!norm) return norm.error();
    const auto step = [&](Worker& w, int64_t window, const InputVisitor& visit) {
      for (int64_t t = 0; t < context_.length; t++)
        norm_step(stream(window) + t * d.hidden_size, norm->data(), d.hidden_size, d.norm_epsilon,
                  w.scratch.normed.data() + t * d.hidden_size);
      visit(kInputsPerLayer * d.layers, w.scratch.normed.data(), context_.length, d.hidden_size);
    };
    if (auto r = pass(d.layers, 1, step); !r) return r.error();
    return std::move(out_);
  }

 private:
  float* stream(int64_t window) {
    return x_.data() + window * context_.length * context_.description.hidden_size;
  }

  /// `layer` counts the head as the layer after the last.
  Result<void> pass(int64_t layer, int64_t inputs, const Pass::Step& step) {
    const int64_t first = layer * kInputsPerLayer;
    const std::vector<int64_t> columns(columns_.begin() + first, columns_.begin() + first + inputs);
    Pass all(tokens_.windows, first, columns, options_.gram != nullptr);
    const auto windows = static_cast<uint64_t>(tokens_.windows);
    const auto passes = static_cast<uint64_t>(context_.description.layers) + 1;
    std::function<bool(int64_t)> go_on;
    if (options_.progress)
      go_on = [&](int64_t done) {
        return options_.progress(
            static_cast<uint64_t>(layer) * windows + static_cast<uint64_t>(done), passes * windows);
      };
    if (!all.run(workers_, step, go_on))
      return Error{Code::interrupted, "calibration stopped before it was complete", 0};
    for (int64_t i = 0; i < inputs; i++) {
      ChannelSums& sums = all.sums(static_cast<size_t>(i));
      // A NaN passes by every maximum, but never a sum.
      for (size_t k = 0; k < sums.square.size(); k++)
        if (!std::isfinite(sums.square[k]))
          return malformed(
              (inputs == 1 ? std::string("the head's input")
                           : "layer " + std::to_string(layer) + ", input " + std::to_string(i)) +
              ": channel " + std::to_string(k) + " is not finite");
      out_.inputs.push_back(means(sums, out_.count()));
      if (options_.gram) options_.gram(first + i, std::move(sums.gram));
    }
    return {};
  }

  const SourceModel& source_;
  const CalibrationTokens& tokens_;
  const BlockContext& context_;
  const StatisticsOptions& options_;
  const std::vector<int64_t> columns_;
  std::vector<float> x_;  ///< [windows][length][hidden]
  std::vector<Worker> workers_;
  Statistics out_;
};

}  // namespace

std::vector<float> InputStatistics::importance() const {
  double sum = 0;
  for (const double square : mean_square) sum += square;
  const double mean = sum / static_cast<double>(mean_square.size());
  if (!(mean > 0)) return std::vector<float>(mean_square.size(), 1.0f);
  std::vector<float> out;
  // In units of the mean, so that no f32 is left by large or small activations.
  for (const double square : mean_square)
    out.push_back(static_cast<float>(std::max(square / mean, 1e-6)));
  return out;
}

std::vector<int64_t> input_columns(const ModelDescription& description) {
  std::vector<int64_t> columns;
  for (const TensorSpec& spec : tensor_specs(description)) {
    if (spec.input < 0) continue;
    if (spec.input >= static_cast<int64_t>(columns.size()))
      columns.resize(static_cast<size_t>(spec.input) + 1);
    columns[static_cast<size_t>(spec.input)] = spec.columns;
  }
  return columns;
}

uint64_t statistics_memory(const ModelDescription& d, int64_t windows, int64_t length,
                           const StatisticsOptions& options) {
  const auto q = static_cast<double>(d.heads * d.head_dim);
  const auto kv = static_cast<double>(d.kv_heads * d.head_dim);
  const auto hidden = static_cast<double>(d.hidden_size);
  const auto inner = static_cast<double>(d.intermediate_size);
  const auto tokens = static_cast<double>(length);
  const double stream = static_cast<double>(windows) * tokens * hidden;
  const double block = hidden * (2 * q + 2 * kv + 3 * inner);
  double thread = tokens * (2 * hidden + 2 * q + 2 * kv + 2 * inner + 64);
  double grams = 0;
  if (options.gram) {
    const double widest = std::max({hidden, q, inner});
    thread += widest * (widest + tokens);
    grams = 2 * (2 * hidden * hidden + q * q + inner * inner);
  }
  const double team = static_cast<double>(std::min<int64_t>(options.threads, windows));
  return static_cast<uint64_t>(4 * (stream + block + grams + team * thread));
}

Result<Statistics> gather_statistics(const SourceModel& source, const ModelDescription& description,
                                     const CalibrationTokens& tokens,
                                     const StatisticsOptions& options) {
  if (tokens.windows < 1 || tokens.length < 1 ||
      static_cast<int64_t>(tokens.ids.size()) != tokens.windows * tokens.length)
    return usage_error("no calibration tokens");
  if (tokens.length > description.context_length)
    return usage_error("calibration windows of " + std::to_string(tokens.length) +
                       " tokens, the model's context is " +
                       std::to_string(description.context_length));
  const uint64_t needed = statistics_memory(description, tokens.windows, tokens.length, options);
  if (options.memory_limit != 0 && needed > options.memory_limit)
    return usage_error("calibration on " + std::to_string(tokens.windows) + " windows of " +
                       std::to_string(tokens.length) + " tokens takes " + megabytes(needed) +
                       ", the limit is " + megabytes(options.memory_limit) +
                       ": fewer tokens, or a higher limit");
  const BlockContext context(description, tokens.length);
  return Gathering(source, tokens, context, options).run();
}

}  // namespace sqf

#include "converter/calibration/statistics.hpp"

#include <algorithm>
#include <cmath>

#include "converter/calibration/block.hpp"
#include "converter/calibration/steps.hpp"
#include "converter/calibration/windows.hpp"

namespace sqf {
namespace {

constexpr int64_t kInputsPerLayer = 4;

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
    auto windows = Windows::embed(source_, context_, tokens_, options_.threads, options_.spill);
    if (!windows) return windows.error();
    out_.text = tokens_.text;
    out_.windows = tokens_.windows;
    out_.length = tokens_.length;
    for (int64_t layer = 0; layer < d.layers; layer++) {
      auto block = Block::read(source_, context_, layer);
      if (!block) return block.error();
      const auto step = [&](BlockScratch& s, int64_t, float* x, const InputVisitor& visit) {
        block->forward(context_, x, s, visit);
      };
      if (auto r = pass(*windows, layer, kInputsPerLayer, step); !r) return r.error();
    }
    auto norm = read_final_norm(source_, d);
    if (!norm) return norm.error();
    const auto step = [&](BlockScratch& s, int64_t, float* x, const InputVisitor& visit) {
      for (int64_t t = 0; t < context_.length; t++)
        norm_step(x + t * d.hidden_size, norm->data(), d.hidden_size, d.norm_epsilon,
                  s.normed.data() + t * d.hidden_size);
      visit(kInputsPerLayer * d.layers, s.normed.data(), context_.length, d.hidden_size);
    };
    if (auto r = pass(*windows, d.layers, 1, step); !r) return r.error();
    return std::move(out_);
  }

 private:
  /// `layer` counts the head as the layer after the last.
  Result<void> pass(Windows& all, int64_t layer, int64_t inputs, const Windows::Step& step) {
    const int64_t first = layer * kInputsPerLayer;
    const auto windows = static_cast<uint64_t>(tokens_.windows);
    const auto passes = static_cast<uint64_t>(context_.description.layers) + 1;
    std::function<bool(int64_t)> go_on;
    if (options_.progress)
      go_on = [&](int64_t done) {
        return options_.progress(
            static_cast<uint64_t>(layer) * windows + static_cast<uint64_t>(done), passes * windows);
      };
    auto sums = all.run(step,
                        {first,
                         {columns_.begin() + first, columns_.begin() + first + inputs},
                         options_.gram != nullptr},
                        go_on);
    if (!sums) return sums.error();
    for (int64_t i = 0; i < inputs; i++) {
      ChannelSums& of = (*sums)[static_cast<size_t>(i)];
      // A NaN passes by every maximum, but never a sum.
      for (size_t k = 0; k < of.square.size(); k++)
        if (!std::isfinite(of.square[k]))
          return malformed(
              (inputs == 1 ? std::string("the head's input")
                           : "layer " + std::to_string(layer) + ", input " + std::to_string(i)) +
              ": channel " + std::to_string(k) + " is not finite");
      out_.inputs.push_back(means(of, out_.count()));
      if (options_.gram) options_.gram(first + i, std::move(of.gram));
    }
    return {};
  }

  const SourceModel& source_;
  const CalibrationTokens& tokens_;
  const BlockContext& context_;
  const StatisticsOptions& options_;
  const std::vector<int64_t> columns_;
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
  const double team = static_cast<double>(std::min<int64_t>(options.threads, windows));
  const double stream =
      (options.spill.empty() ? static_cast<double>(windows) : team) * tokens * hidden;
  const double block = hidden * (2 * q + 2 * kv + 3 * inner);
  double thread = tokens * (2 * hidden + 2 * q + 2 * kv + 2 * inner + 64);
  double grams = 0;
  if (options.gram) {
    const double widest = std::max({hidden, q, inner});
    thread += widest * (widest + tokens);
    grams = 2 * (2 * hidden * hidden + q * q + inner * inner);
  }
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

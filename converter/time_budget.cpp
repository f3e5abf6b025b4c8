#include "converter/time_budget.hpp"

#include <charconv>
#include <chrono>
#include <numeric>

#include "converter/hessian_walk.hpp"

namespace sqf {
namespace {

// Exponents that a search tries at a site or, side by side, for the model: about so many.
constexpr double kCandidates = 12;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// One layer's worth of work, on some windows.
class LayerTrial {
 public:
  LayerTrial(const SourceModel& source, const Plan& plan, const CalibrationTokens& tokens,
             const WorkTimeOptions& options)
      : source_(source),
        plan_(plan),
        options_(options),
        tokens_(tokens),
        context_(plan.description, tokens.length),
        choices_(plan.inputs.size()) {
    // Which columns are the outliers does not matter to the time.
    for (size_t i = 0; i < choices_.size(); i++) {
      choices_[i].outliers.resize(static_cast<size_t>(plan.inputs[i].outliers));
      std::iota(choices_[i].outliers.begin(), choices_[i].outliers.end(), 0u);
    }
  }

  /// Seconds of a pass over the layer.
  Result<double> forward() {
    auto windows = Windows::embed(source_, context_, tokens_, options_.threads, {});
    if (!windows) return windows.error();
    auto block = Block::read(source_, context_, 0);
    if (!block) return block.error();
    const auto start = std::chrono::steady_clock::now();
    const auto step = [&](BlockScratch& s, int64_t, float* x, const InputVisitor& visit) {
      block->forward(context_, x, s, visit);
    };
    std::vector<int64_t> columns;
    for (size_t i = 0; i < 4; i++) columns.push_back(plan_.inputs[i].columns);
    if (auto r = windows->run(step, {0, columns, false}, nullptr); !r) return r.error();
    return seconds_since(start);
  }

  /// Seconds of rounding its tensors, Hessians included; the plan's own rounding or, as searches
  /// do, to nearest.
  Result<double> round(bool nearest) {
    HessianOptions hessian;
    hessian.threads = options_.threads;
    hessian.gptq = options_.gptq;
    auto walk = HessianWalk::create(source_, plan_, choices_, tokens_, hessian);
    if (!walk) return walk.error();
    const auto start = std::chrono::steady_clock::now();
    for (const TensorPlan& planned : plan_.tensors) {
      if (planned.spec.layer != 0) continue;
      TensorPlan t = planned;
      if (nearest && t.method == Method::gptq) t.method = Method::rtn;
      const TensorFold fold = fold_of(plan_, choices_, t);
      TensorChoices given = choices_of(t, fold, choices_);
      if (!nearest)
        if (auto r = prepare(t, walk->get(), &given); !r) return r.error();
      auto encoded = encode_tensor(t, given, options_.threads, nullptr);
      if (!encoded) return encoded.error();
      if (nearest) continue;
      if (auto r = (*walk)->put(t, fold, given.outliers, *encoded); !r) return r.error();
    }
    return seconds_since(start);
  }

 private:
  const SourceModel& source_;
  const Plan& plan_;
  const WorkTimeOptions& options_;
  const CalibrationTokens tokens_;
  const BlockContext context_;
  std::vector<InputChoice> choices_;
};

}  // namespace

Result<WorkTime> time_work(const SourceModel& source, const Plan& plan,
                           const CalibrationTokens& tokens, const WorkTimeOptions& options) {
  const auto layers = static_cast<double>(plan.description.layers);
  const int64_t few = std::min<int64_t>(std::max(options.threads, 1), tokens.windows);
  double seconds[2] = {}, forward = 0;
  for (const int64_t i : {0, 1}) {
    LayerTrial trial(source, plan, tokens.thinned((i + 1) * few), options);
    auto pass = trial.forward();
    if (!pass) return pass.error();
    auto rounding = trial.round(false);
    if (!rounding) return rounding.error();
    if (options.statistics) seconds[i] += *pass;
    seconds[i] += *rounding;
    forward = *pass / static_cast<double>(tokens.thinned((i + 1) * few).windows);
  }
  const auto more = static_cast<double>(tokens.thinned(2 * few).windows - few);
  WorkTime time;
  time.per_window = more > 0 ? std::max(0.0, (seconds[1] - seconds[0]) / more) : forward;
  time.fixed = std::max(0.0, seconds[0] - time.per_window * static_cast<double>(few));
  if (plan.smoothing.method != SmoothMethod::none && !plan.smoothing.alpha) {
    auto rounding = LayerTrial(source, plan, tokens.thinned(1), options).round(true);
    if (!rounding) return rounding.error();
    time.fixed += kCandidates * (*rounding + forward * static_cast<double>(options.search_windows));
  }
  time.fixed *= layers;
  time.per_window *= layers;
  return time;
}

Result<double> parse_duration(const std::string& words) {
  double total = 0;
  const char* at = words.data();
  const char* const end = at + words.size();
  while (at < end) {
    double number = 0;
    const auto [next, error] = std::from_chars(at, end, number);
    const double unit = next == end    ? 0
                        : *next == 's' ? 1
                        : *next == 'm' ? 60
                        : *next == 'h' ? 3600
                                       : 0;
    if (error != std::errc() || unit == 0 || !(number >= 0 && number <= 1e6))
      return usage_error("--time-budget \"" + words + "\": expected e.g. 90s, 10m or 1h30m");
    total += number * unit;
    at = next + 1;
  }
  if (total <= 0)
    return usage_error("--time-budget \"" + words + "\": expected e.g. 90s, 10m or 1h30m");
  return total;
}

}  // namespace sqf

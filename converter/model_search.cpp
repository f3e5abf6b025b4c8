#include "converter/model_search.hpp"

#include <algorithm>
#include <cmath>

#include "converter/calibration/steps.hpp"
#include "converter/calibration/windows.hpp"
#include "converter/round_trip.hpp"

namespace sqf {
namespace {

/// One exponent for all sites: candidates run through the whole model side by side.
class ModelSearch {
 public:
  ModelSearch(const SourceModel& source, const Plan& plan, const Statistics& statistics,
              const BlockContext& context, const CalibrationTokens& tokens,
              const SearchOptions& options)
      : source_(source),
        plan_(plan),
        statistics_(statistics),
        context_(context),
        tokens_(tokens),
        options_(options) {
    for (size_t i = 0; i < plan.inputs.size(); i++)
      sizes_.push_back(plan.inputs[i].smooth == SmoothState::none
                           ? ChannelSizes()
                           : channel_sizes(plan, statistics.inputs[i], static_cast<int64_t>(i)));
  }

  /// Into `choices`, which have their smoothing vectors then.
  Result<void> run(std::vector<InputChoice>* choices) {
    // No smoothing is a candidate of its own: an exponent of 0 is not that (factors 1 / w).
    if (auto r = add(std::nullopt); !r) return r;
    for (int tenth = 0; tenth <= 10; tenth++)
      if (auto r = add(tenth / 10.0); !r) return r;
    if (auto r = walk(); !r) return r;
    const std::optional<double> middle = best().alpha;
    if (middle)
      for (const double off : {-0.05, 0.05})
        if (*middle + off > 0 && *middle + off < 1)
          if (auto r = add(*middle + off); !r) return r;
    if (auto r = walk(); !r) return r;
    const double before = candidates_[0].loss;
    *choices = best().choices;
    for (InputChoice& choice : *choices) {
      if (choice.smooth.empty()) continue;
      choice.alpha = best().alpha.value_or(0);
      choice.loss_before = before;
      choice.loss_after = best().loss;
    }
    return {};
  }

 private:
  struct Candidate {
    std::optional<double> alpha;
    std::vector<InputChoice> choices;
    std::optional<Windows> windows;  ///< none: it has been through
    double loss = 0;
  };

  Result<void> add(std::optional<double> alpha) {
    Candidate candidate;
    candidate.alpha = alpha;
    candidate.choices = choices_at(alpha);
    auto windows = Windows::embed(source_, context_, tokens_, options_.threads, options_.spill);
    if (!windows) return windows.error();
    candidate.windows = std::move(*windows);
    candidates_.push_back(std::move(candidate));
    return {};
  }

  std::vector<InputChoice> choices_at(std::optional<double> alpha) const {
    std::vector<InputChoice> choices(plan_.inputs.size());
    for (size_t i = 0; i < choices.size(); i++) {
      const InputPlan& in = plan_.inputs[i];
      if (in.smooth != SmoothState::none)
        choices[i].smooth = alpha ? smoothing_factors(plan_.smoothing.method, *alpha, sizes_[i])
                                  : std::vector<float>(static_cast<size_t>(in.columns), 1.0f);
      choose_columns(in, statistics_.inputs[i], &choices[i]);
    }
    return choices;
  }

  const Candidate& best() const {
    return *std::ranges::min_element(candidates_, {}, &Candidate::loss);
  }

  /// Takes the candidates that have not been through, and the float model, through all blocks.
  Result<void> walk() {
    auto reference = Windows::embed(source_, context_, tokens_, options_.threads, options_.spill);
    if (!reference) return reference.error();
    const auto layers = static_cast<uint64_t>(context_.description.layers);
    for (uint64_t layer = 0; layer < layers; layer++) {
      auto block = Block::read(source_, context_, static_cast<int64_t>(layer));
      if (!block) return block.error();
      const auto step = [&](BlockScratch& s, int64_t, float* x, const InputVisitor& visit) {
        block->forward(context_, x, s, visit);
      };
      if (auto r = reference->run(step, {}, nullptr); !r) return r.error();
      for (Candidate& candidate : candidates_) {
        if (!candidate.windows) continue;
        if (options_.progress && !options_.progress(layer, layers)) return search_interrupted();
        if (auto r = put(candidate, static_cast<int64_t>(layer), &*block); !r) return r;
        if (auto r = candidate.windows->run(step, {}, nullptr); !r) return r.error();
      }
    }
    return measure(*reference);
  }

  Result<void> put(const Candidate& candidate, int64_t layer, Block* block) {
    for (const TensorPlan& t : plan_.tensors) {
      if (t.spec.layer != layer || t.spec.input < 0) continue;
      if (auto r = round_trip(plan_, candidate.choices, t, options_.threads, &weight_); !r)
        return r;
      block->replace(t.spec.role, weight_.data());
    }
    return {};
  }

  /// Mean squared error of what the head would read.
  Result<void> measure(Windows& reference) {
    auto norm = read_final_norm(source_, context_.description);
    if (!norm) return norm.error();
    const int64_t hidden = context_.description.hidden_size, tokens = context_.length;
    std::vector<float> a(static_cast<size_t>(hidden)), b(a);
    std::vector<float> ours, theirs;
    for (Candidate& candidate : candidates_) {
      if (!candidate.windows) continue;
      double sum = 0;
      for (int64_t window = 0; window < reference.count(); window++) {
        auto x = reference.streams().load(window, &ours);
        if (!x) return x.error();
        auto y = candidate.windows->streams().load(window, &theirs);
        if (!y) return y.error();
        for (int64_t t = 0; t < tokens; t++) {
          const float epsilon = context_.description.norm_epsilon;
          norm_step(*x + t * hidden, norm->data(), hidden, epsilon, a.data());
          norm_step(*y + t * hidden, norm->data(), hidden, epsilon, b.data());
          sum += squared_distance(a.data(), b.data(), hidden);
        }
      }
      candidate.loss = sum / static_cast<double>(reference.count() * tokens * hidden);
      if (!std::isfinite(candidate.loss))
        return malformed("the search met values that are not finite");
      candidate.windows.reset();
    }
    return {};
  }

  const SourceModel& source_;
  const Plan& plan_;
  const Statistics& statistics_;
  const BlockContext& context_;
  const CalibrationTokens& tokens_;
  const SearchOptions& options_;
  std::vector<ChannelSizes> sizes_;
  std::vector<Candidate> candidates_;
  std::vector<float> weight_;
};

}  // namespace

double squared_distance(const float* a, const float* b, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; i++) {
    const double off = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    sum += off * off;
  }
  return sum;
}

Error search_interrupted() {
  return {Code::interrupted, "the search stopped before it was complete", 0};
}

Result<void> search_model(const SourceModel& source, const Plan& plan, const Statistics& statistics,
                          const BlockContext& context, const CalibrationTokens& tokens,
                          const SearchOptions& options, std::vector<InputChoice>* choices) {
  return ModelSearch(source, plan, statistics, context, tokens, options).run(choices);
}

}  // namespace sqf

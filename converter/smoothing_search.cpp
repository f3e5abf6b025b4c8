#include "converter/smoothing_search.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include "converter/calibration/steps.hpp"
#include "converter/calibration/windows.hpp"
#include "converter/round_trip.hpp"

namespace sqf {
namespace {

const TensorPlan* find_reader(const Plan& plan, int64_t layer, Role role) {
  for (const TensorPlan& t : plan.tensors)
    if (t.spec.layer == layer && t.spec.role == role) return &t;
  return nullptr;
}

double squared_distance(const float* a, const float* b, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; i++) {
    const double off = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    sum += off * off;
  }
  return sum;
}

Error interrupted() {
  return {Code::interrupted, "the search stopped before it was complete", 0};
}

/// Tries exponents: a coarse walk over 0..1, then twice as fine around the best, down to 1/20.
/// `loss` is asked once for each.
template <typename Loss>
Result<std::pair<double, double>> least_alpha(const Loss& loss) {
  std::map<int, double> tried;  // by twentieths
  int best = -1;
  const auto ask = [&](int twentieths) -> Result<void> {
    if (twentieths < 0 || twentieths > 20 || tried.contains(twentieths)) return {};
    auto value = loss(twentieths / 20.0);
    if (!value) return value.error();
    tried[twentieths] = *value;
    if (best < 0 || *value < tried[best]) best = twentieths;
    return {};
  };
  int stride = 4;
  for (int at = 0; at <= 20; at += stride)
    if (auto r = ask(at); !r) return r.error();
  while (stride > 1) {
    stride = (stride + 1) / 2;
    const int middle = best;
    for (const int at : {middle - stride, middle + stride})
      if (auto r = ask(at); !r) return r.error();
  }
  return std::pair{best / 20.0, tried[best]};
}

class SiteSearch {
 public:
  SiteSearch(const SourceModel& source, const Plan& plan, const Statistics& statistics,
             const BlockContext& context, Windows& windows, const SearchOptions& options,
             std::vector<InputChoice>* choices)
      : source_(source),
        plan_(plan),
        statistics_(statistics),
        context_(context),
        windows_(windows),
        options_(options),
        choices_(*choices) {
    for (const InputPlan& input : plan.inputs) total_ += input.smooth != SmoothState::none;
  }

  Result<void> run() {
    for (int64_t layer = 0; layer < context_.description.layers; layer++) {
      auto block = Block::read(source_, context_, layer);
      if (!block) return block.error();
      for (const Site& site : smoothing_sites()) {
        if (plan_.inputs[static_cast<size_t>(4 * layer + site.index)].smooth == SmoothState::none)
          continue;
        if (auto r = search(*block, layer, site); !r) return r;
        done_++;
      }
      const auto step = [&](BlockScratch& s, int64_t, float* x, const InputVisitor& visit) {
        block->forward(context_, x, s, visit);
      };
      if (auto r = windows_.run(step, {}, nullptr); !r) return r.error();
    }
    return {};
  }

 private:
  /// All sites of a block are searched on the source's own block, and folded together afterwards.
  Result<void> search(Block& block, int64_t layer, const Site& site) {
    const auto index = static_cast<size_t>(4 * layer + site.index);
    const InputPlan& in = plan_.inputs[index];
    collect(block, site, in.columns);
    const ChannelSizes sizes =
        channel_sizes(plan_, statistics_.inputs[index], 4 * layer + site.index);
    // Candidates touch this input alone: what is folded elsewhere does not matter to it.
    std::vector<InputChoice> trial(choices_.size());
    const auto loss = [&](const std::vector<float>& smooth) -> Result<double> {
      trial[index].smooth = smooth;
      choose_columns(in, statistics_.inputs[index], &trial[index]);
      return measure(block, layer, site, in, trial);
    };
    auto plain = loss({});
    if (!plain) return plain.error();
    const auto at = [&](double alpha) {
      return loss(smoothing_factors(plan_.smoothing.method, alpha, sizes));
    };
    auto best = least_alpha(at);
    if (!best) return best.error();
    InputChoice& choice = choices_[index];
    choice.loss_before = *plain;
    choice.loss_after = std::min(*plain, best->second);
    if (best->second < *plain) {
      choice.alpha = best->first;
      choice.smooth = smoothing_factors(plan_.smoothing.method, best->first, sizes);
    } else {  // factors of 1: the file has a place for them
      choice.smooth.assign(static_cast<size_t>(in.columns), 1.0f);
    }
    // The source's weights again, for the next site.
    for (size_t i = 0; i < site.reader_count; i++) {
      const TensorPlan& reader = *find_reader(plan_, layer, site.readers[i]);
      weight_.resize(static_cast<size_t>(reader.spec.rows * reader.spec.columns));
      read_rows(*reader.source, 0, reader.spec.rows, weight_.data());
      block.replace(reader.spec.role, weight_.data());
    }
    return {};
  }

  /// What flows into the site, and what the block answers.
  void collect(const Block& block, const Site& site, int64_t columns) {
    const auto windows = static_cast<size_t>(windows_.count());
    const int64_t length = context_.length, hidden = context_.description.hidden_size;
    inputs_.resize(windows);
    answers_.resize(windows);
    const auto step = [&](BlockScratch& s, int64_t window, float* x, const InputVisitor&) {
      std::vector<float> copy(x, x + length * hidden);
      auto& input = inputs_[static_cast<size_t>(window)];
      auto& answer = answers_[static_cast<size_t>(window)];
      const auto keep = [&](int64_t shown, const float* values, int64_t, int64_t) {
        if (shown % 4 == site.index) input.assign(values, values + length * columns);
      };
      block.forward(context_, copy.data(), s, keep, site.index);
      answer.resize(copy.size());
      block.respond(context_, site.index, input.data(), s, answer.data());
    };
    (void)windows_.run(step, {}, nullptr);
  }

  Result<double> measure(Block& block, int64_t layer, const Site& site, const InputPlan& in,
                         const std::vector<InputChoice>& trial) {
    if (options_.progress && !options_.progress(done_, total_)) return interrupted();
    const InputChoice& choice = trial[static_cast<size_t>(4 * layer + site.index)];
    for (size_t i = 0; i < site.reader_count; i++) {
      const TensorPlan& reader = *find_reader(plan_, layer, site.readers[i]);
      if (auto r = round_trip(plan_, trial, reader, options_.threads, &weight_); !r)
        return r.error();
      block.replace(reader.spec.role, weight_.data());
    }
    std::vector<double> losses(inputs_.size());
    const auto step = [&](BlockScratch& s, int64_t window, float*, const InputVisitor&) {
      const auto index = static_cast<size_t>(window);
      std::vector<float> x = inputs_[index], out(answers_[index].size());
      round_input(in, choice, context_.length, x.data());
      block.respond(context_, site.index, x.data(), s, out.data());
      losses[index] =
          squared_distance(out.data(), answers_[index].data(), static_cast<int64_t>(out.size()));
    };
    if (auto r = windows_.run(step, {}, nullptr); !r) return r.error();
    double sum = 0;
    for (const double loss : losses) sum += loss;
    if (!std::isfinite(sum))
      return malformed("layer " + std::to_string(layer) + ", " + site.name +
                       ": the search met values that are not finite");
    return sum / static_cast<double>(inputs_.size() * answers_[0].size());
  }

  const SourceModel& source_;
  const Plan& plan_;
  const Statistics& statistics_;
  const BlockContext& context_;
  Windows& windows_;
  const SearchOptions& options_;
  std::vector<InputChoice>& choices_;
  std::vector<std::vector<float>> inputs_, answers_;  ///< by window
  std::vector<float> weight_;
  uint64_t done_ = 0, total_ = 0;  ///< sites
};

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
    auto windows = Windows::embed(source_, context_, tokens_, options_.threads);
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
    auto reference = Windows::embed(source_, context_, tokens_, options_.threads);
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
        if (options_.progress && !options_.progress(layer, layers)) return interrupted();
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
    for (Candidate& candidate : candidates_) {
      if (!candidate.windows) continue;
      double sum = 0;
      for (int64_t window = 0; window < reference.count(); window++)
        for (int64_t t = 0; t < tokens; t++) {
          const float epsilon = context_.description.norm_epsilon;
          norm_step(reference.stream(window) + t * hidden, norm->data(), hidden, epsilon, a.data());
          norm_step(candidate.windows->stream(window) + t * hidden, norm->data(), hidden, epsilon,
                    b.data());
          sum += squared_distance(a.data(), b.data(), hidden);
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

Result<std::vector<InputChoice>> choose_inputs(const SourceModel& source, const Plan& plan,
                                               const Statistics& statistics,
                                               const CalibrationTokens& windows,
                                               const SearchOptions& options) {
  std::vector<InputChoice> choices(plan.inputs.size());
  const SmoothingSpec& spec = plan.smoothing;
  if (spec.method != SmoothMethod::none && !spec.alpha) {
    const BlockContext context(plan.description, windows.length);
    if (spec.method == SmoothMethod::smoothquant_plus) {
      ModelSearch search(source, plan, statistics, context, windows, options);
      if (auto r = search.run(&choices); !r) return r.error();
    } else {
      auto streams = Windows::embed(source, context, windows, options.threads);
      if (!streams) return streams.error();
      SiteSearch search(source, plan, statistics, context, *streams, options, &choices);
      if (auto r = search.run(); !r) return r.error();
    }
  }
  for (size_t i = 0; i < choices.size(); i++) {
    const InputPlan& in = plan.inputs[i];
    if (in.smooth != SmoothState::none && spec.alpha) {
      choices[i].alpha = *spec.alpha;
      choices[i].smooth =
          smoothing_factors(spec.method, *spec.alpha,
                            channel_sizes(plan, statistics.inputs[i], static_cast<int64_t>(i)));
    }
    choose_columns(in, statistics.inputs[i], &choices[i]);
  }
  return choices;
}

}  // namespace sqf

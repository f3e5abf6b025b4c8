#include "converter/smoothing_search.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include "converter/calibration/windows.hpp"
#include "converter/journal.hpp"
#include "converter/model_search.hpp"
#include "converter/round_trip.hpp"

namespace sqf {
namespace {

const TensorPlan* find_reader(const Plan& plan, int64_t layer, Role role) {
  for (const TensorPlan& t : plan.tensors)
    if (t.spec.layer == layer && t.spec.role == role) return &t;
  return nullptr;
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
        if (auto r = settle_site(*block, layer, site); !r) return r;
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
  /// From what an earlier run kept, or by the search.
  Result<void> settle_site(Block& block, int64_t layer, const Site& site) {
    const auto index = static_cast<size_t>(4 * layer + site.index);
    if (options_.journal != nullptr) {
      auto kept = options_.journal->site(plan_, index);
      if (!kept) return kept.error();
      if (*kept) {
        choices_[index] = std::move(**kept);
        return {};
      }
    }
    if (auto r = search(block, layer, site); !r) return r;
    if (options_.journal == nullptr) return {};
    choose_columns(plan_.inputs[index], statistics_.inputs[index], &choices_[index]);
    return options_.journal->keep_site(index, choices_[index]);
  }

  /// All sites of a block are searched on the source's own block, and folded together afterwards.
  Result<void> search(Block& block, int64_t layer, const Site& site) {
    const auto index = static_cast<size_t>(4 * layer + site.index);
    const InputPlan& in = plan_.inputs[index];
    if (auto r = collect(block, site, in.columns); !r) return r;
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
  Result<void> collect(const Block& block, const Site& site, int64_t columns) {
    const int64_t count = windows_.count(), length = context_.length;
    const int64_t hidden = context_.description.hidden_size;
    // The site before gives its memory back first.
    inputs_ = WindowStore();
    answers_ = WindowStore();
    auto inputs = WindowStore::create(count, length * columns, options_.spill);
    if (!inputs) return inputs.error();
    inputs_ = std::move(*inputs);
    auto answers = WindowStore::create(count, length * hidden, options_.spill);
    if (!answers) return answers.error();
    answers_ = std::move(*answers);
    FirstError problem;
    const auto step = [&](BlockScratch& s, int64_t window, float* x, const InputVisitor&) {
      std::vector<float> copy(x, x + length * hidden), input_room, answer_room;
      float* const input = inputs_.place(window, &input_room);
      float* const answer = answers_.place(window, &answer_room);
      const auto keep = [&](int64_t shown, const float* values, int64_t, int64_t) {
        if (shown % 4 == site.index) std::copy_n(values, length * columns, input);
      };
      block.forward(context_, copy.data(), s, keep, site.index);
      block.respond(context_, site.index, input, s, answer);
      if (auto r = inputs_.save(window, input); !r) problem.keep(r.error());
      if (auto r = answers_.save(window, answer); !r) problem.keep(r.error());
    };
    if (auto r = windows_.look(step, {}, nullptr); !r) return r.error();
    if (problem) return *problem.error();
    return {};
  }

  Result<double> measure(Block& block, int64_t layer, const Site& site, const InputPlan& in,
                         const std::vector<InputChoice>& trial) {
    if (options_.progress && !options_.progress(done_, total_)) return search_interrupted();
    const InputChoice& choice = trial[static_cast<size_t>(4 * layer + site.index)];
    for (size_t i = 0; i < site.reader_count; i++) {
      const TensorPlan& reader = *find_reader(plan_, layer, site.readers[i]);
      if (auto r = round_trip(plan_, trial, reader, options_.threads, &weight_); !r)
        return r.error();
      block.replace(reader.spec.role, weight_.data());
    }
    std::vector<double> losses(static_cast<size_t>(inputs_.windows()));
    FirstError problem;
    const auto step = [&](BlockScratch& s, int64_t window, float*, const InputVisitor&) {
      std::vector<float> x(static_cast<size_t>(inputs_.numbers())), room;
      auto input = inputs_.load(window, &room);
      if (!input) return problem.keep(input.error());
      std::copy_n(*input, inputs_.numbers(), x.data());
      round_input(in, choice, context_.length, x.data());
      std::vector<float> out(static_cast<size_t>(answers_.numbers()));
      block.respond(context_, site.index, x.data(), s, out.data());
      auto answer = answers_.load(window, &room);
      if (!answer) return problem.keep(answer.error());
      losses[static_cast<size_t>(window)] =
          squared_distance(out.data(), *answer, answers_.numbers());
    };
    if (auto r = windows_.look(step, {}, nullptr); !r) return r.error();
    if (problem) return *problem.error();
    double sum = 0;
    for (const double loss : losses) sum += loss;
    if (!std::isfinite(sum))
      return malformed("layer " + std::to_string(layer) + ", " + site.name +
                       ": the search met values that are not finite");
    return sum / static_cast<double>(answers_.windows() * answers_.numbers());
  }

  const SourceModel& source_;
  const Plan& plan_;
  const Statistics& statistics_;
  const BlockContext& context_;
  Windows& windows_;
  const SearchOptions& options_;
  std::vector<InputChoice>& choices_;
  WindowStore inputs_, answers_;  ///< of the site at hand
  std::vector<float> weight_;
  uint64_t done_ = 0, total_ = 0;  ///< sites
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
      const auto r = search_model(source, plan, statistics, context, windows, options, &choices);
      if (!r) return r.error();
    } else {
      auto streams = Windows::embed(source, context, windows, options.threads, options.spill);
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

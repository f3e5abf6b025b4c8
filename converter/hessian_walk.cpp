#include "converter/hessian_walk.hpp"

#include <algorithm>
#include <cmath>

#include "converter/calibration/steps.hpp"
#include "converter/journal.hpp"

namespace sqf {

Result<std::unique_ptr<HessianWalk>> HessianWalk::create(const SourceModel& source,
                                                         const Plan& plan,
                                                         std::span<const InputChoice> choices,
                                                         const CalibrationTokens& tokens,
                                                         const HessianOptions& options) {
  std::unique_ptr<HessianWalk> walk(new HessianWalk(source, plan, choices, tokens, options));
  auto windows = Windows::embed(source, walk->context_, tokens, options.threads, options.spill);
  if (!windows) return windows.error();
  walk->windows_ = std::move(*windows);
  if (options.journal == nullptr) return walk;
  const auto kept =
      options.journal->streams(options.journal->layers_done(plan), &walk->windows_->streams());
  if (!kept) return kept.error();
  walk->start_ = kept->value_or(0);
  walk->layer_ = walk->start_ - 1;
  return walk;
}

/// Takes the streams through the block that was, and reads the next one.
Result<void> HessianWalk::enter(int64_t layer) {
  while (layer_ < layer) {
    if (block_) {
      const auto step = [&](BlockScratch& s, int64_t, float* x, const InputVisitor& visit) {
        block_->forward(context_, x, s, visit);
      };
      const auto ask = [&](int64_t) { return !options_.go_on || options_.go_on(); };
      if (auto r = windows_->run(step, {}, ask); !r) return r.error();
      block_.reset();
      if (options_.journal != nullptr)
        if (auto r = options_.journal->keep_streams(layer_ + 1, windows_->streams()); !r) return r;
    }
    layer_++;
    if (layer_ == plan_.description.layers) return {};
    auto block = Block::read(source_, context_, layer_);
    if (!block) return block.error();
    block_ = std::move(*block);
  }
  return {};
}

/// Of the source's own coordinates; one input, whose layer the walk has entered.
Result<std::vector<double>> HessianWalk::sum(const Summed& summed) {
  const ModelDescription& d = plan_.description;
  const int64_t input = summed.first, site = input % 4;
  std::vector<float> norm;
  if (layer_ == d.layers) {
    auto read = read_final_norm(source_, d);
    if (!read) return read.error();
    norm = std::move(*read);
  }
  const auto step = [&](BlockScratch& s, int64_t, float* x, const InputVisitor& visit) {
    if (norm.empty()) {
      // The walk goes on from here once all readers are rounded: it leaves the stream alone.
      std::vector<float> copy(x, x + context_.length * d.hidden_size);
      block_->forward(context_, copy.data(), s, visit, site);
      return;
    }
    for (int64_t t = 0; t < context_.length; t++)
      norm_step(x + t * d.hidden_size, norm.data(), d.hidden_size, d.norm_epsilon,
                s.normed.data() + t * d.hidden_size);
    visit(input, s.normed.data(), context_.length, d.hidden_size);
  };
  const auto ask = [&](int64_t) { return !options_.go_on || options_.go_on(); };
  auto sums = windows_->look(step, summed, ask);
  if (!sums) return sums.error();
  return std::move((*sums)[0].gram);
}

Result<std::vector<double>> HessianWalk::gram(int64_t input) {
  auto gram = sum({input, {plan_.inputs[static_cast<size_t>(input)].columns}, true});
  if (!gram) return gram;
  const std::vector<float>& smooth = choices_[static_cast<size_t>(input)].smooth;
  for (size_t i = 0; i < smooth.size(); i++)
    for (size_t j = 0; j < smooth.size(); j++)
      (*gram)[i * smooth.size() + j] /=
          static_cast<double>(smooth[i]) * static_cast<double>(smooth[j]);
  return gram;
}

Result<std::span<const float>> HessianWalk::blocks(int64_t input, int64_t group) {
  if (input == blocks_of_ && group == group_) return std::span<const float>(blocks_);
  if (auto r = enter(input / 4); !r) return r.error();
  const InputPlan& in = plan_.inputs[static_cast<size_t>(input)];
  const InputChoice& choice = choices_[static_cast<size_t>(input)];
  const std::vector<uint32_t> base = base_columns(in.columns, choice.outliers);
  Summed summed = {input, {in.columns}, true, group};
  if (!choice.outliers.empty()) summed.picked = base;
  auto sums = sum(summed);
  if (!sums) return sums.error();
  const auto tokens = static_cast<double>(windows_->count() * windows_->length());
  const auto factor = [&](size_t k) {
    return choice.smooth.empty() ? 1.0 : static_cast<double>(choice.smooth[base[k]]);
  };
  blocks_.resize(sums->size());
  size_t at = 0;
  for (size_t first = 0, size = 0; first < base.size(); first += size) {
    size = std::min(static_cast<size_t>(group), base.size() - first);
    for (size_t i = first; i < first + size; i++)
      for (size_t j = first; j < first + size; j++, at++) {
        blocks_[at] = static_cast<float>((*sums)[at] / tokens / (factor(i) * factor(j)));
        if (!std::isfinite(blocks_[at]))
          return malformed("layer " + std::to_string(in.layer) + ", " +
                           (in.site != nullptr ? in.site->name : "head") +
                           ": activations that are not finite, or too large to be multiplied");
      }
  }
  blocks_of_ = input;
  group_ = group;
  return std::span<const float>(blocks_);
}

Result<const GptqInput*> HessianWalk::input(int64_t input) {
  if (input == known_) return &factor_;
  if (auto r = enter(input / 4); !r) return r.error();
  auto sums = gram(input);
  if (!sums) return sums.error();
  const InputPlan& in = plan_.inputs[static_cast<size_t>(input)];
  const std::vector<uint32_t>& outliers = choices_[static_cast<size_t>(input)].outliers;
  GptqOptions options = options_.gptq;
  // The residue is to end up in the columns that are not rounded.
  if (!outliers.empty()) options.order = GptqOrder::ascending;
  auto factor = gptq_input(std::move(*sums), in.columns, outliers, options);
  if (!factor)
    return Error{factor.error().code,
                 "layer " + std::to_string(in.layer) + ", " +
                     (in.site != nullptr ? in.site->name : "head") + ": " + factor.error().message,
                 0};
  factor_ = std::move(*factor);
  known_ = input;
  return &factor_;
}

Result<void> HessianWalk::put(const TensorPlan& tensor, const TensorFold& fold,
                              std::span<const uint32_t> outliers, const EncodedTensor& encoded) {
  if (tensor.spec.input < 0 || tensor.spec.layer < start_) return {};
  // The block is read while the source's pages of it are at hand, whether they are replaced or not.
  if (auto r = enter(tensor.spec.layer); !r) return r;
  if (!options_.behind_rounded) return {};
  const int64_t rows = tensor.spec.rows, columns = tensor.spec.columns;
  weight_.resize(static_cast<size_t>(rows * columns));
  decode_tensor(tensor, outliers, encoded, weight_.data());
  unfold(fold, rows, columns, weight_.data());
  block_->replace(tensor.spec.role, weight_.data());
  return {};
}

Result<void> prepare(const TensorPlan& tensor, HessianWalk* walk, TensorChoices* choices) {
  if (tensor.method == Method::gptq) {
    auto input = walk->input(tensor.spec.input);
    if (!input) return input.error();
    choices->gptq = *input;
  }
  if (is_coded(tensor.method) && tensor.range == Range::clip) {
    const int64_t columns = tensor.spec.columns - static_cast<int64_t>(choices->outliers.size());
    auto blocks = walk->blocks(tensor.spec.input, grouping(tensor.encoding, columns).length);
    if (!blocks) return blocks.error();
    choices->grams = *blocks;
  }
  return {};
}

}  // namespace sqf

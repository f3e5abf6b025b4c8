#include "runtime/sampler.hpp"

#include <algorithm>
#include <cmath>

namespace sqf {

Sampler::Sampler(const SamplerOptions& options) : options_(options), random_(options.seed) {}

int32_t greedy(std::span<const float> logits) {
  return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

double log_probability(std::span<const float> logits, int32_t token) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (float logit : logits) sum += std::exp(static_cast<double>(logit) - top);
  return static_cast<double>(logits[static_cast<size_t>(token)]) - top - std::log(sum);
}

int32_t Sampler::next(std::span<const float> logits) {
  if (options_.temperature <= 0) return greedy(logits);
  candidates_.clear();
  for (size_t i = 0; i < logits.size(); i++)
    candidates_.push_back({static_cast<int32_t>(i), logits[i], 0});
  // Equal logits keep the order of their ids, so that a sort's whims do not show.
  const auto better = [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
  };
  size_t kept = candidates_.size();
  if (options_.top_k > 0) kept = std::min(kept, static_cast<size_t>(options_.top_k));
  std::partial_sort(candidates_.begin(), candidates_.begin() + static_cast<int64_t>(kept),
                    candidates_.end(), better);
  candidates_.resize(kept);

  const auto weigh = [&](float temperature) {
    float sum = 0;
    for (Candidate& c : candidates_)
      sum += c.probability = std::exp((c.logit - candidates_[0].logit) / temperature);
    for (Candidate& c : candidates_) c.probability /= sum;
  };
  weigh(1);
  float reached = 0;
  size_t last = 0;
  while (last < candidates_.size() && (last == 0 || reached < options_.top_p) &&
         candidates_[last].probability >= options_.min_p * candidates_[0].probability)
    reached += candidates_[last++].probability;
  candidates_.resize(last);
  weigh(options_.temperature);

  // 53 random bits: the same number everywhere, which std::uniform_real_distribution is not.
  double point = static_cast<double>(random_() >> 11) * 0x1p-53;
  for (const Candidate& c : candidates_) {
    point -= static_cast<double>(c.probability);
    if (point < 0) return c.token;
  }
  return candidates_.back().token;
}

}  // namespace sqf

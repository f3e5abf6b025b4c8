#include "apps/perplexity.hpp"

#include <algorithm>
#include <cmath>

#include "runtime/sampler.hpp"

namespace sqf {
WindowMean window_mean(std::span<const double> windows) {
  const auto count = static_cast<double>(windows.size());
  WindowMean out;
  double squares = 0;
  for (const double nll : windows) out.mean += nll;
  out.mean /= count;
  for (const double nll : windows) squares += (nll - out.mean) * (nll - out.mean);
  if (windows.size() > 1) out.standard_error = std::sqrt(squares / (count - 1) / count);
  return out;
}

Result<void> visit_logits(Engine& engine, std::span<const int32_t> window,
                          const LogitsVisitor& visit) {
  engine.rewind(0);
  const auto scored = static_cast<int64_t>(window.size()) - 1;
  for (int64_t first = 0; first < scored; first += kLogitTokens) {
    const int64_t count = std::min(kLogitTokens, scored - first);
    const auto piece = window.subspan(static_cast<size_t>(first), static_cast<size_t>(count));
    if (auto r = engine.forward(piece, LogitsOf::all_tokens); !r) return r;
    if (auto r = visit(first, count); !r) return r;
  }
  return {};
}

Result<double> window_nll(Engine& engine, std::span<const int32_t> window) {
  double sum = 0;
  auto done = visit_logits(engine, window, [&](int64_t first, int64_t count) -> Result<void> {
    for (int64_t i = 0; i < count; i++)
      sum -= log_probability(engine.logits(i), window[static_cast<size_t>(first + i + 1)]);
    return {};
  });
  if (!done) return done.error();
  return sum / static_cast<double>(window.size() - 1);
}

TokenComparison compare_token(std::span<const float> source, std::span<const float> file,
                              int32_t next) {
  const auto top_source = std::max_element(source.begin(), source.end());
  const auto top_file = std::max_element(file.begin(), file.end());
  const double a = *top_source, b = *top_file;
  double sum_source = 0, sum_file = 0, weighted = 0;
  for (size_t i = 0; i < source.size(); i++) {
    const double p = std::exp(source[i] - a);
    const double difference = (source[i] - a) - (file[i] - b);
    sum_source += p;
    sum_file += std::exp(file[i] - b);
    // A token that the source rules out (p = 0) does not count, whatever the file says of it.
    if (p > 0) weighted += p * difference;
  }
  const auto at = static_cast<size_t>(next);
  TokenComparison out;
  out.source_nll = std::log(sum_source) - (source[at] - a);
  out.file_nll = std::log(sum_file) - (file[at] - b);
  out.divergence = weighted / sum_source - std::log(sum_source) + std::log(sum_file);
  // Rounding may leave an equal pair a little below 0. A NaN stays one.
  if (out.divergence < 0) out.divergence = 0;
  out.same_top = top_source - source.begin() == top_file - file.begin();
  return out;
}

}  // namespace sqf

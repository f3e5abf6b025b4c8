#pragma once
// How well a model foretells a text, and how two models differ at it: one window of tokens after
// another, each from position 0, the first token of each unscored. What sqrun ppl and the
// evaluation of a conversion share.

#include <functional>
#include <span>
#include <vector>

#include "runtime/engine.hpp"

namespace sqf {

inline constexpr int64_t kLogitTokens = 128;  ///< whose logits are in memory at once

/// Of one number per window, in nats per token.
struct WindowMean {
  double mean = 0;
  double standard_error = 0;  ///< of the mean; 0 with one window
};
WindowMean window_mean(std::span<const double> windows);

/// Logits of tokens [first, first + count) of the window are the engine's 0 .. count - 1.
using LogitsVisitor = std::function<Result<void>(int64_t first, int64_t count)>;

/// Runs a window in pieces, so that the logits of a few tokens are in memory at once. The last
/// token, whose successor is not known, is not shown. Errors: the engine's, the visitor's.
Result<void> visit_logits(Engine& engine, std::span<const int32_t> window,
                          const LogitsVisitor& visit);

/// Mean negative log-likelihood of the window's tokens but the first.
Result<double> window_nll(Engine& engine, std::span<const int32_t> window);

/// Two models at one token, in nats. Not finite where a logit is not.
struct TokenComparison {
  double source_nll = 0, file_nll = 0;  ///< of the token that follows
  double divergence = 0;                ///< KL(source || file) of the next token, never below 0
  bool same_top = false;                ///< the likeliest token is the same
};
TokenComparison compare_token(std::span<const float> source, std::span<const float> file,
                              int32_t next);

}  // namespace sqf

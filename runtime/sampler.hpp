#pragma once
// From logits to the next token. Cuts come first, temperature last: top-k, top-p, min-p, then the
// draw, as other runners order them. The same seed gives the same tokens on every machine.

#include <cstdint>
#include <random>
#include <span>
#include <vector>

namespace sqf {

struct SamplerOptions {
  float temperature = 0;  ///< 0: greedy, the rest does not matter
  int64_t top_k = 40;     ///< 0: all
  float top_p = 0.95f;    ///< 1: all
  float min_p = 0.05f;    ///< least probability, as a share of the largest; 0: all
  uint64_t seed = 0;
};

/// Not thread-safe.
class Sampler {
 public:
  explicit Sampler(const SamplerOptions& options);
  /// logits [vocab], finite or -infinity.
  int32_t next(std::span<const float> logits);

 private:
  struct Candidate {
    int32_t token;
    float logit, probability;
  };
  SamplerOptions options_;
  std::mt19937_64 random_;
  std::vector<Candidate> candidates_;
};

/// The token with the largest logit; of equal ones the first.
int32_t greedy(std::span<const float> logits);

/// Natural logarithm of the probability of `token`, in f64.
double log_probability(std::span<const float> logits, int32_t token);

}  // namespace sqf

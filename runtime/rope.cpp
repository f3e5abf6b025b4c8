#include "runtime/rope.hpp"

#include <algorithm>
#include <cmath>

namespace sqf {

std::vector<float> rope_frequencies(const ModelDescription& d) {
  constexpr float kTwoPi = 6.283185307179586f;
  std::vector<float> out;
  for (int64_t i = 0; i < d.head_dim / 2; i++) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(d.head_dim);
    float frequency = 1.0f / std::pow(d.rope_theta, exponent);
    if (d.rope_scaling == RopeScaling::linear) frequency /= d.rope_factor;
    if (d.rope_scaling == RopeScaling::llama3) {
      const float context = static_cast<float>(d.rope_original_context);
      const float turns = context * frequency / kTwoPi;  // over the original context
      const float blend = std::clamp(
          (turns - d.rope_low_frequency) / (d.rope_high_frequency - d.rope_low_frequency), 0.0f,
          1.0f);
      frequency = (1 - blend) * frequency / d.rope_factor + blend * frequency;
    }
    out.push_back(frequency);
  }
  return out;
}

}  // namespace sqf

#pragma once
// Smoothing: each channel of an activation is divided by a factor, and the weights that read it are
// multiplied by the same, so that nothing changes but what rounding costs. Where in a block that
// can be done, what a site's readers and producer are, and the formulas of SmoothQuant (Xiao et al.
// 2022), SmoothQuant+ (Pan et al. 2023) and AWQ (Lin et al. 2023). Pure arithmetic.

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "format/layout.hpp"
#include "format/result.hpp"
#include "model/description.hpp"

namespace sqf {

/// One activation in each block: who reads it, and whose output can be divided to smooth it.
struct Site {
  const char* name;
  int64_t index;  ///< TensorSpec::input is 4 layer + index
  std::array<Role, 3> readers;
  size_t reader_count;
  Role producer;
};
/// qkv, o, gate_up, down.
std::span<const Site> smoothing_sites();

enum class SmoothMethod : uint8_t {
  none,
  smoothquant,       ///< abs_max(x)^alpha / abs_max(w)^(1 - alpha), alpha by site
  smoothquant_plus,  ///< the same with one alpha for the model
  awq,               ///< mean_abs(x)^alpha, alpha by site
};
const char* smooth_method_name(SmoothMethod method);

struct SmoothingSpec {
  SmoothMethod method = SmoothMethod::none;
  std::optional<double> alpha;  ///< none: searched for
  /// By site: not smoothed, folded into its producer, or divided at run time.
  std::array<SmoothState, 4> sites = {};
  bool keep = false;  ///< folded vectors are stored, too
};

/// "qkv,gate_up,down:apply": which sites, each folded or, with :apply, divided at run time.
/// Errors: usage, naming what no block has and what is named twice.
Result<std::array<SmoothState, 4>> parse_sites(const std::string& words);
std::string sites_text(const std::array<SmoothState, 4>& sites);

/// What the formulas take, by channel.
struct ChannelSizes {
  std::vector<double> abs_max, mean_abs;  ///< of the activation
  std::vector<double> weight;             ///< largest |w| among the readers
};

/// Heads that read the same value head see the same channels of it: their sizes become one (the
/// largest of maxima, the mean of means), so that the factors can be folded into the value rows.
void pool_heads(const ModelDescription& description, ChannelSizes* sizes);

/// Factors [K], finite and positive. Channels that never spoke, or that nobody weighs, get 1.
std::vector<float> smoothing_factors(SmoothMethod method, double alpha, const ChannelSizes& sizes);

/// From factors by input channel of o to factors by row of v: the first reader's.
std::vector<float> value_rows(const ModelDescription& description, std::span<const float> factors);

}  // namespace sqf

#include "converter/smoothing.hpp"

#include <algorithm>
#include <cmath>

namespace sqf {
namespace {

constexpr Site kSites[] = {{"qkv", 0, {Role::q, Role::k, Role::v}, 3, Role::attention_norm},
                           {"o", 1, {Role::o}, 1, Role::v},
                           {"gate_up", 2, {Role::gate, Role::up}, 2, Role::mlp_norm},
                           {"down", 3, {Role::down}, 1, Role::up}};

constexpr double kLeast = 1e-4, kMost = 1e4;  // beyond, a fold would leave f16's range

double awq_factor(const ChannelSizes& sizes, size_t k, double alpha) {
  return std::max(std::pow(sizes.mean_abs[k], alpha), 1e-4);
}

double smoothquant_factor(const ChannelSizes& sizes, size_t k, double alpha) {
  return std::pow(sizes.abs_max[k], alpha) / std::pow(std::max(sizes.weight[k], 1e-5), 1 - alpha);
}

}  // namespace

std::span<const Site> smoothing_sites() {
  return kSites;
}

const char* smooth_method_name(SmoothMethod method) {
  constexpr const char* kNames[] = {"none", "smoothquant", "smoothquant+", "awq"};
  return kNames[static_cast<size_t>(method)];
}

Result<std::array<SmoothState, 4>> parse_sites(const std::string& words) {
  std::array<SmoothState, 4> sites = {};
  for (size_t at = 0; at <= words.size();) {
    const size_t end = std::min(words.find(',', at), words.size());
    std::string name = words.substr(at, end - at);
    at = end + 1;
    SmoothState state = SmoothState::folded;
    if (const size_t colon = name.find(':'); colon != name.npos) {
      if (name.substr(colon) != ":apply")
        return usage_error("--sites: \"" + name + "\": a site is folded, or divided with :apply");
      state = SmoothState::apply;
      name.resize(colon);
    }
    const auto site = std::ranges::find_if(kSites, [&](const Site& s) { return s.name == name; });
    if (site == std::end(kSites))
      return usage_error("--sites: \"" + name +
                         "\" is no site of this architecture: qkv, o, gate_up, down");
    if (sites[static_cast<size_t>(site->index)] != SmoothState::none)
      return usage_error("--sites: \"" + name + "\" is named twice");
    sites[static_cast<size_t>(site->index)] = state;
  }
  return sites;
}

std::string sites_text(const std::array<SmoothState, 4>& sites) {
  std::string text;
  for (const Site& site : kSites) {
    const SmoothState state = sites[static_cast<size_t>(site.index)];
    if (state == SmoothState::none) continue;
    text += (text.empty() ? "" : ",") + std::string(site.name);
    if (state == SmoothState::apply) text += ":apply";
  }
  return text;
}

void pool_heads(const ModelDescription& d, ChannelSizes* sizes) {
  const int64_t group = d.heads / d.kv_heads;
  for (int64_t kv = 0; kv < d.kv_heads; kv++)
    for (int64_t i = 0; i < d.head_dim; i++) {
      double top = 0, mean = 0, weight = 0;
      const auto at = [&](int64_t reader) {
        return static_cast<size_t>((kv * group + reader) * d.head_dim + i);
      };
      for (int64_t reader = 0; reader < group; reader++) {
        top = std::max(top, sizes->abs_max[at(reader)]);
        mean += sizes->mean_abs[at(reader)] / static_cast<double>(group);
        weight = std::max(weight, sizes->weight[at(reader)]);
      }
      for (int64_t reader = 0; reader < group; reader++) {
        sizes->abs_max[at(reader)] = top;
        sizes->mean_abs[at(reader)] = mean;
        sizes->weight[at(reader)] = weight;
      }
    }
}

std::vector<float> smoothing_factors(SmoothMethod method, double alpha, const ChannelSizes& sizes) {
  std::vector<double> factors(sizes.abs_max.size(), 1.0);
  double least = 0, most = 0;
  std::vector<bool> dead(factors.size());
  for (size_t k = 0; k < factors.size(); k++) {
    dead[k] = !(sizes.abs_max[k] > 0) || !(sizes.weight[k] > 0);
    if (dead[k]) continue;
    factors[k] = method == SmoothMethod::awq ? awq_factor(sizes, k, alpha)
                                             : smoothquant_factor(sizes, k, alpha);
    least = least == 0 ? factors[k] : std::min(least, factors[k]);
    most = std::max(most, factors[k]);
  }
  // A common factor changes nothing; AWQ's is such that the folded numbers stay where they were.
  const double middle = method == SmoothMethod::awq && least > 0 ? std::sqrt(least * most) : 1.0;
  std::vector<float> out;
  for (size_t k = 0; k < factors.size(); k++)
    out.push_back(dead[k] ? 1.0f
                          : static_cast<float>(std::clamp(factors[k] / middle, kLeast, kMost)));
  return out;
}

std::vector<float> value_rows(const ModelDescription& d, std::span<const float> factors) {
  const int64_t group = d.heads / d.kv_heads;
  std::vector<float> rows;
  for (int64_t kv = 0; kv < d.kv_heads; kv++)
    for (int64_t i = 0; i < d.head_dim; i++)
      rows.push_back(factors[static_cast<size_t>(kv * group * d.head_dim + i)]);
  return rows;
}

}  // namespace sqf

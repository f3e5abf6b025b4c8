#include "converter/recipe.hpp"

#include <algorithm>

namespace sqf {
namespace {

// Sources: SmoothQuant, Xiao et al. 2022; SmoothQuant+, Pan et al. 2023; AWQ, Lin et al. 2023;
// GPTQ, Frantar et al. 2022; QUIK, Ashkboos et al. 2023.
constexpr MethodPreset kPresets[] = {
    {"rtn", "round=nearest", SmoothMethod::none, "", "", "round to nearest"},
    {"none", "none", SmoothMethod::none, "", "", "keep values"},
    {"keep", "keep", SmoothMethod::none, "", "", "keep a GGUF's codes"},
    {"smoothquant", "bits=8,group=row,scale=f32,factor=none,zero=constant,act=int8",
     SmoothMethod::smoothquant, "qkv,gate_up,down", "", "8-bit weights and activations, smoothed"},
    {"smoothquant+", "group=128,scale=f16,factor=none", SmoothMethod::smoothquant_plus,
     "qkv,gate_up,down", "", "4-bit weights, smoothed by one exponent for the model"},
    {"awq", "group=128,scale=f16,factor=none,range=clip", SmoothMethod::awq, "qkv,o,gate_up,down",
     "", "4-bit weights, channels scaled and ranges clipped by what each block loses"},
    {"gptq", "group=128,scale=f16,factor=none,round=gptq", SmoothMethod::none, "", "",
     "4-bit weights, each error made up for by the columns that follow"},
    {"quik", "group=row,scale=f32,factor=none,zero=constant,round=gptq,act=int4:asym,outliers=1/16",
     SmoothMethod::none, "", "bits=8,act=int8:asym",
     "4-bit weights and activations beside f16 outlier columns, down_proj at 8 bits"},
};

}  // namespace

std::span<const MethodPreset> method_presets() {
  return kPresets;
}

const MethodPreset* find_method(std::string_view name) {
  const auto found =
      std::ranges::find_if(kPresets, [&](const MethodPreset& p) { return name == p.name; });
  return found == std::end(kPresets) ? nullptr : &*found;
}

Result<void> apply_preset(const MethodPreset& preset, PlanOptions* options) {
  auto linear = parse_spec(preset.words, options->linear);
  if (!linear) return linear.error();
  options->linear = *linear;
  options->smoothing.method = preset.smoothing;
  if (*preset.sites != '\0') {
    auto sites = parse_sites(preset.sites);
    if (!sites) return sites.error();
    options->smoothing.sites = *sites;
  }
  options->method_rules = 0;
  if (*preset.down != '\0') {
    options->rules.insert(options->rules.begin(), {R"(\.down_proj\.)", preset.down});
    options->method_rules = 1;
  }
  return {};
}

Needs needs_of(const Plan& plan) {
  Needs needs;
  for (const InputPlan& input : plan.inputs) {
    const bool smooth = input.smooth != SmoothState::none;
    needs.statistics |= smooth || input.outliers > 0 || input.activation.is_static;
    needs.forward |= smooth && !plan.smoothing.alpha;
  }
  for (const TensorPlan& t : plan.tensors) needs.forward |= wants_forward(t);
  return needs;
}

}  // namespace sqf

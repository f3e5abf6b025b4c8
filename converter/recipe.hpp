#pragma once
// The methods by name. Each is a composition of the same few choices - encoding, rounding,
// smoothing, outlier columns, activations - and everything in it can be changed afterwards.

#include <span>
#include <string>
#include <string_view>

#include "converter/plan.hpp"

namespace sqf {

struct MethodPreset {
  const char* name;
  const char* words;  ///< for parse_spec: the matrices inside the layers
  SmoothMethod smoothing;
  const char* sites;  ///< for parse_sites, where it smooths
  const char* down;   ///< what is different about down_proj; "": nothing
  const char* summary;
};
std::span<const MethodPreset> method_presets();
/// Null: no method of that name.
const MethodPreset* find_method(std::string_view name);

/// Sets linear, smoothing and the method's own rules; head and user's rules are the caller's.
Result<void> apply_preset(const MethodPreset& preset, PlanOptions* options);

/// What a plan needs to know of the model's activations before it can be carried out.
struct Needs {
  bool statistics = false;  ///< sizes of channels
  bool forward = false;     ///< windows of text run through the blocks while converting
};
Needs needs_of(const Plan& plan);

}  // namespace sqf

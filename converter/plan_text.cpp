// A plan for people and for programs: one line per kind of tensor, one object per tensor.

#include <algorithm>
#include <cstdio>

#include "converter/plan.hpp"

namespace sqf {
namespace {

/// The last words of a name, which say its kind: "self_attn.q_proj.weight" of every layer.
std::string kind_of(const TensorSpec& spec) {
  const std::string prefix = "model.layers." + std::to_string(spec.layer) + ".";
  return spec.layer < 0 ? spec.name : "layers.*." + spec.name.substr(prefix.size());
}

const char* smooth_state_name(SmoothState state) {
  constexpr const char* kNames[] = {"none", "folded", "applied"};
  return kNames[static_cast<size_t>(state)];
}

/// What becomes of the tensor, and of the activation that it reads.
std::string fate_of(const Plan& plan, const TensorPlan& t) {
  std::string text = std::string(method_name(t.method)) + "  " + describe(t.encoding);
  if (t.outliers > 0) text += " + " + std::to_string(t.outliers) + " f16 columns";
  if (t.low_rank.rank > 0) text += " + rank " + std::to_string(t.low_rank.rank);
  if (t.importance != nullptr) text += ", calibrated";
  if (is_coded(t.method) && t.range == Range::clip) text += ", clipped";
  if (t.spec.input < 0) return text;
  const InputPlan& in = plan.inputs[static_cast<size_t>(t.spec.input)];
  if (in.smooth != SmoothState::none)
    text += std::string(", smoothing ") + smooth_state_name(in.smooth);
  if (in.activation.kind != QuantizerKind::none)
    text += ", reads " + activation_name(in.activation);
  return text;
}

struct KindSum {
  int64_t count = 0;
  uint64_t weights = 0, bytes = 0;
  std::string fate;
  const TensorPlan* first = nullptr;
};

std::vector<std::pair<std::string, KindSum>> sum_by_kind(const Plan& plan) {
  std::vector<std::pair<std::string, KindSum>> rows;
  for (const TensorPlan& t : plan.tensors) {
    const std::string key = kind_of(t.spec), fate = fate_of(plan, t);
    auto row = std::ranges::find_if(
        rows, [&](const auto& r) { return r.first == key && r.second.fate == fate; });
    if (row == rows.end()) row = rows.insert(rows.end(), {key, {0, 0, 0, fate, &t}});
    row->second.count++;
    row->second.weights += static_cast<uint64_t>(t.spec.rows * t.spec.columns);
    row->second.bytes += t.bytes;
  }
  return rows;
}

double bits_per_weight(uint64_t bytes, uint64_t weights) {
  return 8.0 * static_cast<double>(bytes) / static_cast<double>(weights);
}

}  // namespace

std::string plan_text(const Plan& plan) {
  std::string text;
  char line[256];
  uint64_t weights = 0;
  const auto rows = sum_by_kind(plan);
  for (const auto& [kind, sum] : rows) {
    const TensorSpec& spec = sum.first->spec;
    std::snprintf(line, sizeof line, "%5lld x %-42s [%lld, %lld]  ",
                  static_cast<long long>(sum.count), kind.c_str(),
                  static_cast<long long>(spec.rows), static_cast<long long>(spec.columns));
    text += line + sum.fate;
    std::snprintf(line, sizeof line, ", %.2f bits/weight, %.2f MB\n",
                  bits_per_weight(sum.bytes, sum.weights), static_cast<double>(sum.bytes) / 1e6);
    text += line;
    weights += sum.weights;
  }
  std::snprintf(line, sizeof line,
                "%zu tensors, %.1f M weights, %.1f MB -> %.1f MB, %.2f bits/weight stored\n",
                plan.tensors.size(), static_cast<double>(weights) / 1e6,
                static_cast<double>(plan.source_bytes) / 1e6,
                static_cast<double>(plan.stored_bytes) / 1e6,
                bits_per_weight(plan.stored_bytes, weights));
  return text + line;
}

Json plan_json(const Plan& plan) {
  Json tensors = Json::array();
  for (const TensorPlan& t : plan.tensors) {
    Json entry = {{"name", t.spec.name},
                  {"rows", t.spec.rows},
                  {"columns", t.spec.columns},
                  {"source", source_type_name(t.source->type)},
                  {"method", method_name(t.method)},
                  {"encoding", describe(t.encoding)},
                  {"outliers", t.outliers},
                  {"rank", t.low_rank.rank},
                  {"calibrated", t.importance != nullptr},
                  {"range", is_coded(t.method) ? Json(range_name(t.range)) : Json()},
                  {"bytes", t.bytes}};
    if (t.spec.input >= 0) {
      const InputPlan& in = plan.inputs[static_cast<size_t>(t.spec.input)];
      entry["activations"] = activation_name(in.activation);
      entry["smoothing"] = smooth_state_name(in.smooth);
    }
    tensors.push_back(std::move(entry));
  }
  return {{"tensors", tensors},
          {"source_bytes", plan.source_bytes},
          {"stored_bytes", plan.stored_bytes}};
}

}  // namespace sqf

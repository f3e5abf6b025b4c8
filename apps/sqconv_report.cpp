// What sqconv tells of a conversion, for the page and the JSON of --report.

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "apps/sqconv.hpp"
#include "converter/calibration/statistics_file.hpp"
#include "format/hash.hpp"
#include "loader/mapping.hpp"

namespace sqf {
namespace {

/// Sizes of an input's channels, each divided by its factor.
Json channel_ranges(const InputStatistics& statistics, const std::vector<float>& smooth) {
  std::vector<double> sizes(statistics.abs_max.begin(), statistics.abs_max.end());
  for (size_t k = 0; k < smooth.size(); k++) sizes[k] /= static_cast<double>(smooth[k]);
  std::vector<double> sorted = sizes;
  std::ranges::sort(sorted);
  const auto at = [&](size_t percent) { return sorted[(sorted.size() - 1) * percent / 100]; };
  return {{"abs_max", sizes}, {"q50", at(50)}, {"q99", at(99)}, {"max", sorted.back()}};
}

std::string activation_words(const ActivationSpec& activation) {
  if (activation.kind == QuantizerKind::none) return "float";
  std::string words = activation_name(activation);
  words = words.substr(0, words.find(':'));
  if (activation.asymmetric) words += ", with an offset";
  return words + (activation.is_static    ? ", one scale"
                  : activation.per_tensor ? ", a scale for all tokens"
                                          : " per token");
}

Json inputs_json(const Plan& plan, const Statistics* statistics,
                 std::span<const InputChoice> choices) {
  Json list = Json::array();
  for (size_t i = 0; i < plan.inputs.size(); i++) {
    const InputPlan& in = plan.inputs[i];
    const InputChoice choice = choices.empty() ? InputChoice() : choices[i];
    Json smoothing = nullptr, before = nullptr, after = nullptr;
    if (in.smooth != SmoothState::none) {
      smoothing = {{"method", smooth_method_name(plan.smoothing.method)},
                   {"alpha", choice.alpha},
                   {"state", in.smooth == SmoothState::folded ? "folded" : "applied"}};
      smoothing["loss_before"] = choice.loss_before > 0 ? Json(choice.loss_before) : Json();
      smoothing["loss_after"] = choice.loss_before > 0 ? Json(choice.loss_after) : Json();
    }
    if (statistics != nullptr) before = channel_ranges(statistics->inputs[i], {});
    if (statistics != nullptr && !choice.smooth.empty())
      after = channel_ranges(statistics->inputs[i], choice.smooth);
    list.push_back({{"input", i},
                    {"layer", in.layer},
                    {"site", in.site != nullptr ? in.site->name : "head"},
                    {"columns", in.columns},
                    {"activation", activation_words(in.activation)},
                    {"smoothing", smoothing},
                    {"range_before", before},
                    {"range_after", after},
                    {"outliers", choice.outliers}});
  }
  return list;
}

const char* role_name(Role role) {
  constexpr const char* kNames[] = {"embedding", "attention_norm", "q",          "k",        "v",
                                    "q_norm",    "k_norm",         "o",          "mlp_norm", "gate",
                                    "up",        "down",           "final_norm", "head"};
  return kNames[static_cast<size_t>(role)];
}

Json range_json(const WeightRange& range) {
  return {{"abs_max", range.abs_max}, {"q99", range.q99}};
}

Json tensor_json(const Plan& plan, const TensorPlan& t, const TensorReport& report) {
  const QuantizeStats& stats = report.stats;
  const double weights = static_cast<double>(t.spec.rows * t.spec.columns);
  Json json = {
      {"name", t.spec.name},
      {"layer", t.spec.layer},
      {"role", role_name(t.spec.role)},
      {"rows", t.spec.rows},
      {"columns", t.spec.columns},
      {"method", is_coded(t.method) && t.spec.layer >= 0 ? smooth_method_name(plan.smoothing.method)
                                                         : "none"},
      {"rounding", method_name(t.method)},
      {"encoding", describe(t.encoding)},
      {"bits_per_weight", 8 * static_cast<double>(t.bytes) / weights},
      {"bytes", t.bytes},
      {"relative_error", stats.energy > 0 ? stats.squared_error / stats.energy : 0},
      {"output_error", nullptr},
      {"range", is_coded(t.method) ? Json(range_name(t.range)) : Json()},
      {"clip", nullptr},
      {"weight_range_before", nullptr},
      {"weight_range_after", nullptr},
      {"low_rank", nullptr},
      {"counts",
       {{"zero_rows", stats.zero_rows},
        {"saturated", stats.saturated},
        {"underflowed", stats.underflowed},
        {"lifted_zeros", stats.lifted_zeros}}}};
  if (report.quality) {
    if (report.quality->weighed)
      json["output_error"] = {{"before", report.quality->before}, {"after", report.quality->after}};
    json["weight_range_before"] = range_json(report.quality->range_before);
    json["weight_range_after"] = range_json(report.quality->range_after);
  }
  if (is_coded(t.method) && t.range == Range::clip)
    json["clip"] = {{"groups", stats.clipped},
                    {"error_before", stats.unclipped_error},
                    {"error_after", stats.clipped_error}};
  if (t.low_rank.rank > 0)
    json["low_rank"] = {{"rank", t.low_rank.rank},
                        {"error_before", report.low_rank_before},
                        {"error_after", report.low_rank_after}};
  return json;
}

/// XXH3-64 of the file as it stands, in hex.
Result<std::string> file_hash(const std::string& path) {
  auto file = Mapping::open(path);
  if (!file) return file.error();
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016llx",
                static_cast<unsigned long long>(hash_bytes(file->bytes())));
  return std::string(digits);
}

}  // namespace

Result<Json> report_document(const ConversionArguments& a, const SourceModel& source,
                             const Plan& plan, const PlanOptions& options,
                             std::span<const InputChoice> choices, const ConvertReport& report,
                             double seconds) {
  const Statistics* statistics = options.statistics;
  auto hash = file_hash(a.output);
  if (!hash) return hash.error();
  double weights = 0;
  Json tensors = Json::array(), warnings = Json::array();
  for (size_t i = 0; i < plan.tensors.size(); i++) {
    const TensorPlan& t = plan.tensors[i];
    weights += static_cast<double>(t.spec.rows * t.spec.columns);
    tensors.push_back(tensor_json(plan, t, report.tensors[i]));
    const int64_t gone = report.tensors[i].stats.underflowed;
    if (gone > 0)
      warnings.push_back(t.spec.name + ": " + std::to_string(gone) +
                         " groups or values became zero");
  }
  uint64_t source_bytes = 0;
  for (const SourceFile& file : source.files) source_bytes += file.size;
  Json used = recipe(a, options, plan);
  used["command"] = a.command;
  return Json{
      {"file",
       {{"name", std::filesystem::path(a.output).filename().string()},
        {"bytes", report.file_bytes},
        {"bits_per_weight", 8 * static_cast<double>(plan.stored_bytes) / weights},
        {"xxh3", *hash}}},
      {"source",
       {{"name", std::filesystem::path(a.input).filename().string()}, {"bytes", source_bytes}}},
      {"model", description_to_json(plan.description)},
      {"recipe", used},
      {"seconds", seconds},
      {"calibration", statistics != nullptr ? calibration_json(*statistics) : Json()},
      {"inputs", inputs_json(plan, statistics, choices)},
      {"tensors", tensors},
      {"evaluation", nullptr},
      {"warnings", warnings}};
}

}  // namespace sqf

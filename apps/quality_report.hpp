#pragma once
// What a conversion did to a model, as one web page that needs nothing else, or as JSON. Takes the
// document below and no other; names in it may be hostile. What is null, or missing, is left out
// of the page with a line that says how to get it.
//
//   file        {name, bytes, bits_per_weight, xxh3}
//   source      {name, bytes}
//   model       {architecture, layers, hidden_size, ...}
//   recipe      {method, command (as text), ...}
//   seconds     of the conversion
//   calibration null | {text {name, bytes, xxh3, percent, lines, ...}, windows, length}
//   inputs      by TensorSpec::input: [{input, layer, site: "qkv" | "o" | "gate_up" | "down" |
//               "head", columns, activation: "float" | "int8 per token" ...,
//               smoothing: null | {method, alpha, state: "folded" | "applied",
//                                  loss_before, loss_after},
//               range_before: null | {abs_max [columns], q50, q99, max}, range_after: the same,
//               outliers [column ...]}]
//   tensors     [{name, layer (-1: outside), role, rows, columns, method, rounding, encoding,
//               bits_per_weight, bytes, relative_error (of the weights' energy),
//               output_error: null | {before (plain rounding), after},
//               weight_range_before: null | {abs_max, q99}, weight_range_after: the same,
//               clipped (share of the weights), range: null | "minmax" | "search" | "clip",
//               clip: null | {groups (whose range was drawn in), error_before, error_after
//                             (mean squares of what groups' partial dot products lose, summed)},
//               counts {zero_rows, saturated, underflowed, lifted_zeros},
//               low_rank: null | {rank, error_before, error_after}}]
//   evaluation  null | what evaluate() returns (evaluate.hpp): {text, windows, length, tokens,
//               source {perplexity, nll, standard_error (of nll)}, file: the same,
//               increase {percent, standard_error_percent}, kl {mean, p99, max},
//               top1_agreement, per_window [{source, file, kl}] in nats per token}
//   warnings    [text]

#include <filesystem>
#include <string>

#include "format/json.hpp"

namespace sqf {

/// The page. It shows curves of channels by their rank, with fewer points than channels, and the
/// largest outliers.
std::string report_page(const Json& report);

/// By the name's end: ".html" the page, ".json" the document as it is. Written whole or not at
/// all. Errors: usage (another name), io as of PendingFile.
Result<void> write_report(const Json& report, const std::filesystem::path& path, bool replace);

/// Errors (usage): write_report would refuse the name. For asking before the work.
Result<void> check_report_name(const std::filesystem::path& path);

}  // namespace sqf

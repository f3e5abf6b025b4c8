// The options of sqconv: from words to what is to be planned, and to what META says of it.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>

#include "apps/report.hpp"
#include "apps/sqconv.hpp"
#include "converter/recipe.hpp"

namespace sqf {
namespace {

constexpr const char* kFooter = R"(Examples:
  sqconv SmolLM2-135M-Instruct -o model.sqf              4-bit layers, 8-bit embedding
  sqconv model.safetensors -o model.sqf --bits 8         config.json and tokenizer.json beside it
  sqconv model.gguf -o model.sqf --method keep           Q4_0, Q8_0, Q4_K, ... carried over as they are
  sqconv FOLDER -o m.sqf --rule 'down_proj=bits=6' --rule 'layers\.0\.=none'
  sqconv FOLDER -o m.sqf --grid nf4 --group 64 --scale f16
  sqconv FOLDER -o m.sqf --grid e2m1 --scale e8m0 --factor none    MXFP4's numbers
  sqconv FOLDER -o m.sqf --grid ternary --rule 'down_proj=grid=levels:-4/-1/0/1/4,group=120'
  sqconv FOLDER -o m.sqf --calib text.txt --calib-lines 0:60    ranges by what flows through
  sqconv calibrate FOLDER --calib text.txt -o stats.sqc  once, for many conversions with --stats
  sqconv FOLDER -o m.sqf --round gptq --calib text.txt --report m.html    least loss, in minutes
  sqconv FOLDER -o m.sqf --method smoothquant --calib text.txt    8-bit weights and activations
  sqconv FOLDER -o m.sqf --method quik --calib text.txt --resume  goes on where it was killed
  sqconv plan FOLDER --method awq                        what would be done, and the size: as --dry-run

Exit codes: 0 good, 1 malformed input, 2 usage, 3 environment or I/O, 4 unsupported,
5 interrupted (long work goes on with --resume).)";

/// Words of the command line that say what a matrix is to become.
std::string linear_words(const ConversionArguments& a) {
  std::string words;
  for (const auto& [name, value] : linear_options(a))
    if (!value->empty()) words += (words.empty() ? "" : ",") + std::string(name) + "=" + *value;
  return words;
}

Result<void> smoothing_options(const ConversionArguments& a, SmoothingSpec* smoothing) {
  const bool smooths = smoothing->method != SmoothMethod::none;
  if (!smooths && (!a.sites.empty() || a.alpha != "search" || a.keep_smoothing))
    return usage_error(
        "--alpha, --sites and --keep-smoothing are for smoothquant, "
        "smoothquant+ and awq");
  if (!a.sites.empty()) {
    auto sites = parse_sites(a.sites);
    if (!sites) return sites.error();
    smoothing->sites = *sites;
  }
  smoothing->keep = a.keep_smoothing;
  if (a.alpha == "search") return {};
  double alpha = -1;
  const auto [end, error] = std::from_chars(a.alpha.data(), a.alpha.data() + a.alpha.size(), alpha);
  if (error != std::errc() || *end != '\0' || !(alpha >= 0 && alpha <= 1))
    return usage_error("--alpha \"" + a.alpha + "\" is neither 0 to 1 nor search");
  smoothing->alpha = alpha;
  return {};
}

}  // namespace

std::vector<NamedWord> linear_options(const ConversionArguments& a) {
  return {{"bits", &a.bits},     {"grid", &a.grid}, {"group", &a.group},       {"scale", &a.scale},
          {"factor", &a.factor}, {"zero", &a.zero}, {"planes", &a.planes},     {"range", &a.range},
          {"round", &a.round},   {"act", &a.act},   {"outliers", &a.outliers}, {"lorc", &a.lorc}};
}

void declare_conversion(CLI::App& app, ConversionArguments& a) {
  app.add_option("input", a.input, "a .safetensors file, a Hugging Face folder, or a GGUF file")
      ->required();
  app.add_option("-o,--output", a.output, "the .sqf file to write");
  std::vector<std::string> names;
  std::string methods;
  for (const MethodPreset& preset : method_presets()) {
    names.push_back(preset.name);
    methods += (methods.empty() ? "" : "; ") + names.back() + ": " + preset.summary;
  }
  app.add_option("--method", a.method, methods + ". Every option below changes its part of it")
      ->check(CLI::IsMember(names))
      ->capture_default_str();
  app.add_option("--bits", a.bits, "bits per code of the layers' matrices, 1 to 8 (default 4)");
  app.add_option("--grid", a.grid,
                 "what codes mean (default affine): affine; eEmM, a minifloat of 3 to 8 bits, e.g. "
                 "e2m1; e5m2ocp, e4m3ocp, e3m2ocp, e2m3ocp, e2m1ocp; binary (-1 1), ternary "
                 "(-1 0 1), five (-2 to 2), nf4; levels:a/b/c, 2 to 16 ascending numbers");
  app.add_option("--group", a.group,
                 "columns per scale: a multiple of 32, 16 with codes of 4 or 8 bits, 'row', or "
                 "with 3 or 5 levels any number (default 32; 3 or 5 levels 240)");
  app.add_option("--scale", a.scale, "scale type: u8, e4m3, e8m0, f16, bf16, f32 (default u8)");
  app.add_option("--factor", a.factor,
                 "f32 factor per row on top of the scales: row, none (default row for u8, e4m3, "
                 "e8m0)");
  app.add_option("--zero", a.zero,
                 "zero point of the affine grid: constant (symmetric), u4, u8, minimum (default "
                 "u4, above 4 bits u8)");
  app.add_option("--planes", a.planes,
                 "widest: few planes of codes; bit: one per bit, for bit-serial kernels (default "
                 "widest)");
  app.add_option("--range", a.range,
                 "minmax; search for the least squared error (default); clip: AWQ's search (its "
                 "default), by what "
                 "a group's share of the outputs loses (needs --calib; q and k are searched)");
  app.add_option("--round", a.round,
                 "nearest; gptq: each error is made up for by the columns that follow");
  app.add_option("--act", a.act,
                 "what is done to activations: none, int2 to int8, or a minifloat eEmM; per token, "
                 "or with :tensor or :static one scale; with :asym an offset");
  app.add_option("--outliers", a.outliers,
                 "share of the input columns, those of the largest activations, that stay in f16 "
                 "(e.g. 1/16)");
  app.add_option("--lorc", a.lorc, "rank of a low-rank pair that makes up for the error; 0: none");
  app.add_option("--lorc-type", a.lorc_type, "its factors: i8 or f16")
      ->check(CLI::IsMember({"i8", "f16"}))
      ->capture_default_str();
  app.add_option("--lorc-weight", a.lorc_weight,
                 "rms: errors weighed by the input (needs calibration); none: as published")
      ->check(CLI::IsMember({"rms", "none"}))
      ->capture_default_str();
  app.add_option("--alpha", a.alpha, "smoothing exponent, 0 to 1, or search")
      ->capture_default_str();
  app.add_option("--sites", a.sites,
                 "what is smoothed: qkv, o, gate_up, down, comma-separated; folded into what comes "
                 "before, or divided at run time with :apply");
  app.add_flag("--keep-smoothing", a.keep_smoothing, "store folded smoothing vectors, too");
  app.add_option("--hessian", a.hessian,
                 "what GPTQ and --range clip measure behind: the quantized weights before, or "
                 "float ones")
      ->check(CLI::IsMember({"quantized", "float"}))
      ->capture_default_str();
  app.add_option("--gptq-order", a.gptq_order, "order of columns, by their activations")
      ->check(CLI::IsMember({"natural", "ascending", "descending"}))
      ->capture_default_str();
  app.add_option("--damping", a.damping, "share of the mean added to GPTQ's diagonal")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--search-tokens", a.search_tokens, "calibration tokens that searches measure on")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 32))
      ->capture_default_str();
  app.add_option(
      "--head", a.head,
      "encoding of embedding and head, e.g. bits=8,group=32 or none (default bits=8; with "
      "the methods none and keep: that method)");
  app.add_option("--rule", a.rules,
                 "REGEX=SPEC for tensors whose name matches; the last match wins; may be repeated")
      ->expected(1)
      ->take_all();
  app.add_option("--calib", a.calibration.text,
                 "a UTF-8 text to calibrate on: range searches weigh errors by how large the input "
                 "is; smoothing and GPTQ need it");
  app.add_option("--stats", a.statistics,
                 "sizes of activations from a file that sqconv calibrate wrote, instead of "
                 "measuring them again");
  declare_calibration(app, a.calibration);
  app.add_option("--report", a.report,
                 "what the conversion did to each layer: a page (.html) or JSON (.json)");
  app.add_option("--eval", a.evaluation,
                 "a UTF-8 text: perplexity and KL divergence of the written file against the "
                 "source, on the last 40 % of its lines");
  app.add_option(
      "--time-budget", a.time_budget,
      "calibrate on as many tokens, up to --calib-tokens, as this time allows: 90s, 10m, "
      "1h30m");
  app.add_option("-t,--threads", a.threads, "threads")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_flag("--allow-requantize", a.requantize, "round weights that are quantized already");
  app.add_flag("--force", a.force, "replace an existing output");
  app.add_flag(
      "--resume", a.resume,
      "go on where a run that was stopped or killed left off, with OUTPUT.work; where there "
      "is none, begin, and keep one");
  app.add_flag("--compress", a.compress, "store tokenizer.json and other texts as zstd frames");
  app.add_flag("--dry-run", a.dry_run, "print the plan, write nothing");
  app.add_flag("--json", a.json, "print plan and result as JSON");
  app.add_flag("-q,--quiet", a.quiet, "no plan, no progress");
  app.set_version_flag("--version", std::string("sqconv 1.0.0 (SQF 1.0)"));
  app.footer(kFooter);
}

Result<PlanOptions> plan_options(const ConversionArguments& a) {
  PlanOptions options;
  const std::string words = linear_words(a);
  const bool rounds = a.method != "none" && a.method != "keep";
  if (!rounds && !words.empty())
    return usage_error("--" + words.substr(0, words.find('=')) +
                       " needs a method that rounds, not " + a.method);
  if (auto r = apply_preset(*find_method(a.method), &options); !r) return r.error();
  if (!words.empty()) {
    auto linear = parse_spec(words, options.linear);
    if (!linear) return linear.error();
    options.linear = *linear;
  }
  // GPTQ's own errors are none that the preset's clip search knows of.
  if (options.linear.method == Method::gptq && a.range.empty())
    options.linear.range = Range::search;
  // Clipping is for the layers; the head's own words may ask for it.
  if (options.linear.range != Range::clip) options.head.range = options.linear.range;
  const std::string head_words = !a.head.empty() ? a.head : rounds ? "bits=8" : a.method;
  auto head = parse_spec(head_words, options.head);
  if (!head) return head.error();
  options.head = *head;
  for (const std::string& text : a.rules) {
    auto rule = parse_rule(text);
    if (!rule) return rule.error();
    options.rules.push_back(std::move(*rule));
  }
  if (auto r = smoothing_options(a, &options.smoothing); !r) return r.error();
  options.low_rank.type = a.lorc_type == "i8" ? FactorType::i8 : FactorType::f16;
  options.weigh_low_rank = a.lorc_weight == "rms";
  options.allow_requantize = a.requantize;
  return options;
}

GptqOrder gptq_order(const ConversionArguments& a) {
  if (a.gptq_order == "natural") return GptqOrder::natural;
  return a.gptq_order == "ascending" ? GptqOrder::ascending : GptqOrder::descending;
}

Json recipe(const ConversionArguments& a, const PlanOptions& options, const Plan& plan) {
  Json rules = Json::array();
  for (const auto& rule : options.rules) rules.push_back({rule.pattern, rule.spec});
  Json json = {{"method", a.method}, {"rules", rules}};
  if (!is_coded(options.linear.method)) return json;
  json["layers"] = describe(options.linear.encoding());
  json["rounding"] = method_name(options.linear.method);
  json["head"] = is_coded(options.head.method) ? describe(options.head.encoding())
                                               : method_name(options.head.method);
  if (options.linear.grid.record.grid != Grid::affine) json["grid"] = options.linear.grid.name;
  json["range"] = range_name(options.linear.range);
  if (options.linear.activation.kind != QuantizerKind::none)
    json["activations"] = activation_name(options.linear.activation);
  if (options.linear.outliers > 0) json["outliers"] = options.linear.outliers;
  if (options.linear.rank > 0)
    json["lorc"] = {{"rank", options.linear.rank},
                    {"factors", a.lorc_type},
                    {"weight", options.statistics != nullptr ? a.lorc_weight : "none"}};
  if (plan.smoothing.method != SmoothMethod::none)
    json["smoothing"] = {{"method", smooth_method_name(plan.smoothing.method)},
                         {"sites", sites_text(plan.smoothing.sites)}};
  if (std::ranges::any_of(plan.tensors, [](const TensorPlan& t) {
        return is_coded(t.method) && t.range == Range::clip;
      }))
    json["clip"] = {
        {"of", "partial dot products of a group"}, {"not", "q, k"}, {"behind", a.hessian}};
  if (options.linear.method == Method::gptq)
    json["gptq"] = {{"order", options.linear.outliers > 0 ? "ascending" : a.gptq_order},
                    {"damping", a.damping},
                    {"hessian", a.hessian}};
  if (options.statistics != nullptr)
    json["importance"] = {{"of", "mean square of the input"},
                          {"tokens", options.statistics->count()}};
  return json;
}

}  // namespace sqf

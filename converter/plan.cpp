#include "converter/plan.hpp"

#include <algorithm>
#include <map>
#include <regex>

#include "converter/gguf_blocks.hpp"
#include "converter/layout.hpp"
#include "format/directory.hpp"

namespace sqf {
namespace {

Element real_element(SourceType type) {
  switch (type) {
    case SourceType::f16:
      return Element::f16;
    case SourceType::bf16:
      return Element::bf16;
    default:
      return Element::f32;  // block types hold products that f16 rounds
  }
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); i++) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

/// Bytes of the components of one tensor, laid out as the file will have them.
uint64_t tensor_bytes(const Plan& plan, const TensorPlan& t) {
  DirectoryBuilder builder;
  uint32_t input = kNone;
  if (t.spec.input >= 0)
    input = builder.input(input_record(plan.inputs[static_cast<size_t>(t.spec.input)], 0));
  builder.tensor(layout_of(t, input));
  const Directory directory = builder.finish();
  return stored_bytes(directory, directory.tensors[0]);
}

bool is_vector(const TensorSpec& spec) {
  return spec.input < 0 && spec.role != Role::embedding;
}

using TensorMap = std::map<std::string_view, const SourceTensor*>;

/// Pairs each tensor that the description asks for with one of the source; all mismatches at once.
Result<void> match(const SourceModel& source, Plan& plan) {
  TensorMap by_name;
  for (const SourceTensor& t : source.tensors) by_name[t.name] = &t;
  std::vector<std::string> problems;
  const auto take = [&](const std::string& name, const std::vector<int64_t>& shape) {
    const auto found = by_name.find(name);
    if (found == by_name.end()) {
      problems.push_back("tensor \"" + name + "\" is missing");
      return static_cast<const SourceTensor*>(nullptr);
    }
    const SourceTensor* tensor = found->second;
    by_name.erase(found);
    if (tensor->shape != shape)
      problems.push_back("tensor \"" + name + "\" is " + shape_text(tensor->shape) +
                         ", config.json asks for " + shape_text(shape));
    return tensor;
  };
  for (const TensorSpec& spec : tensor_specs(plan.description)) {
    TensorPlan t;
    t.spec = spec;
    t.source = take(spec.name, is_vector(spec) ? std::vector{spec.columns}
                                               : std::vector{spec.rows, spec.columns});
    if (spec.bias) t.bias = take(spec.name.substr(0, spec.name.size() - 6) + "bias", {spec.rows});
    plan.tensors.push_back(t);
  }
  // Two leftovers are known and carry nothing: rotary tables, and a tied head stored twice.
  std::erase_if(by_name, [](auto& e) { return e.first.ends_with(".rotary_emb.inv_freq"); });
  if (const auto head = by_name.find("lm_head.weight");
      plan.description.tied && head != by_name.end()) {
    const SourceTensor* embedding = plan.tensors.back().source;
    if (embedding != nullptr && std::ranges::equal(head->second->bytes, embedding->bytes))
      by_name.erase(head);
  }
  for (const auto& [name, tensor] : by_name)
    problems.push_back("tensor \"" + std::string(name) + "\" has no place in " +
                       plan.description.architecture);
  if (problems.empty()) return {};
  std::string message = problems[0];
  for (size_t i = 1; i < std::min<size_t>(problems.size(), 10); i++)
    message += "\n  " + problems[i];
  if (problems.size() > 10) message += "\n  and " + std::to_string(problems.size() - 10) + " more";
  return malformed(message);
}

struct CompiledRule {
  const EncodingRule* rule;
  std::regex pattern;
  bool used = false;
  std::string vector;  ///< the last one that matched and could not be quantized
};

Result<std::vector<CompiledRule>> compile(const std::vector<EncodingRule>& rules) {
  std::vector<CompiledRule> compiled;
  for (const EncodingRule& rule : rules) {
    try {
      compiled.push_back({&rule, std::regex(rule.pattern), false, ""});
    } catch (const std::regex_error& e) {
      return usage_error("--rule \"" + rule.pattern + "\": " + e.what());
    }
  }
  return compiled;
}

/// What options and rules ask for. A rule for a whole layer meets its norms too: they stay.
Result<QuantSpec> choose(const TensorSpec& tensor, const PlanOptions& options,
                         std::vector<CompiledRule>& rules) {
  const bool head = tensor.role == Role::embedding || tensor.role == Role::head;
  QuantSpec spec = head ? options.head : options.linear;
  if (is_vector(tensor)) spec.method = Method::none;
  for (CompiledRule& rule : rules) {
    if (!std::regex_search(tensor.name, rule.pattern)) continue;
    auto changed = parse_spec(rule.rule->spec, spec);
    if (!changed) return changed.error();
    if (is_vector(tensor) && changed->method != Method::none) {
      rule.vector = tensor.name;
      continue;
    }
    spec = *changed;
    rule.used = true;
  }
  return spec;
}

/// Hands the statistics of its input to each tensor that wants them. Readers of one input share
/// them. The embedding of an untied model reads none.
Result<void> weigh(const Statistics& statistics, Plan& plan) {
  std::vector<std::shared_ptr<const std::vector<float>>> by_input(statistics.inputs.size());
  for (TensorPlan& t : plan.tensors) {
    if (t.spec.input < 0) continue;
    const auto input = static_cast<size_t>(t.spec.input);
    if (input >= by_input.size() || statistics.inputs[input].columns() != t.spec.columns)
      return usage_error("tensor \"" + t.spec.name + "\": the statistics are of another model");
    if (!wants_statistics(t)) continue;
    if (by_input[input] == nullptr)
      by_input[input] =
          std::make_shared<const std::vector<float>>(statistics.inputs[input].importance());
    t.importance = by_input[input];
  }
  return {};
}

/// Outlier columns of an input of K columns: whole 32s, and something left for the codes.
int64_t outlier_count(double share, int64_t columns) {
  const auto wanted =
      static_cast<int64_t>(std::ceil(share * static_cast<double>(columns) / 32)) * 32;
  return std::min(wanted, (columns - 1) / 32 * 32);
}

/// Method and encoding of one tensor.
Result<void> settle(QuantSpec spec, const PlanOptions& options, TensorPlan& t) {
  const SourceType type = t.source->type;
  if (spec.method == Method::keep) {
    if (!is_block(type)) {
      spec.method = Method::none;
    } else if (!kept_encoding(type)) {
      if (!options.allow_requantize)
        return usage_error("tensor \"" + t.spec.name + "\" is " +
                           std::string(source_type_name(type)) +
                           ", whose groups of 16 columns have no form here: --allow-requantize "
                           "rounds such tensors to 8 bits, and keeps the others");
      spec = {.bits = 8, .scale = Element::f16};
    }
  }
  if (is_coded(spec.method) && is_block(type) && !options.allow_requantize)
    return usage_error("tensor \"" + t.spec.name + "\" is quantized already (" +
                       std::string(source_type_name(type)) +
                       "): --method keep carries it over, --allow-requantize rounds it again");
  t.method = spec.method;
  t.range = spec.range;
  // As published: what q and k lose passes through a softmax, which sums of squares misjudge.
  const bool skipped = t.spec.role == Role::q || t.spec.role == Role::k || t.spec.input < 0;
  if (t.range == Range::clip && skipped) t.range = Range::search;
  switch (t.method) {
    case Method::none:
      // A norm in f32 costs nothing and folds without loss.
      t.encoding = real_encoding(is_vector(t.spec) ? Element::f32 : real_element(type));
      break;
    case Method::rtn:
    case Method::gptq:
      t.encoding = spec.encoding();
      t.outliers = outlier_count(spec.outliers, t.spec.columns);
      t.low_rank = options.low_rank;
      t.weigh_low_rank = options.weigh_low_rank;
      t.low_rank.rank = std::min({spec.rank, t.spec.rows, t.spec.columns});
      t.row_sums = spec.activation.asymmetric && integer_levels(t.encoding).has_value();
      break;
    case Method::keep:
      t.encoding = *kept_encoding(type);
      break;
  }
  if (auto problem = encoding_problem(t.encoding))
    return usage_error("tensor \"" + t.spec.name + "\": " + *problem);
  return {};
}

/// What readers of one activation ask of it; they must agree.
Result<void> join_input(const QuantSpec& spec, const TensorPlan& t, Plan& plan,
                        std::vector<const TensorPlan*>& first) {
  if (t.spec.input < 0) return {};
  const auto index = static_cast<size_t>(t.spec.input);
  if (index >= plan.inputs.size()) {
    plan.inputs.resize(index + 1);
    first.resize(index + 1);
  }
  InputPlan wanted;
  wanted.layer = t.spec.layer;
  wanted.columns = t.spec.columns;
  wanted.outliers = t.outliers;
  if (is_coded(t.method)) wanted.activation = spec.activation;
  for (const Site& site : smoothing_sites())
    if (t.spec.layer >= 0 && t.spec.input == 4 * t.spec.layer + site.index) wanted.site = &site;
  InputPlan& input = plan.inputs[index];
  if (first[index] == nullptr) {
    first[index] = &t;
    input = wanted;
    return {};
  }
  if (input.outliers == wanted.outliers && input.activation == wanted.activation) return {};
  return usage_error("tensors \"" + first[index]->spec.name + "\" and \"" + t.spec.name +
                     "\" read one activation, and disagree on act= or outliers=");
}

/// Which inputs are smoothed, and whether they can be.
Result<void> settle_smoothing(const SmoothingSpec& spec, Plan& plan) {
  plan.smoothing = spec;
  if (spec.method == SmoothMethod::none) return {};
  for (InputPlan& input : plan.inputs) {
    if (input.site == nullptr) continue;
    input.smooth = spec.sites[static_cast<size_t>(input.site->index)];
    input.keeps_smooth = spec.keep;
  }
  for (const TensorPlan& t : plan.tensors) {
    if (t.spec.input < 0 || t.method != Method::keep) continue;
    bool changes = plan.inputs[static_cast<size_t>(t.spec.input)].smooth != SmoothState::none;
    for (const InputPlan& in : plan.inputs)
      changes |= in.smooth == SmoothState::folded && in.layer == t.spec.layer &&
                 in.site->producer == t.spec.role;
    if (changes)
      return usage_error("tensor \"" + t.spec.name +
                         "\" keeps the codes that it has, and cannot be smoothed");
  }
  return {};
}

}  // namespace

bool wants_statistics(const TensorPlan& tensor) {
  const bool pair = tensor.low_rank.rank > 0 && tensor.weigh_low_rank;
  return is_coded(tensor.method) && tensor.spec.input >= 0 &&
         (tensor.range != Range::minmax || pair);
}

bool wants_forward(const TensorPlan& tensor) {
  return tensor.method == Method::gptq || (is_coded(tensor.method) && tensor.range == Range::clip);
}

Result<Plan> make_plan(const SourceModel& source, const PlanOptions& options) {
  auto description = description_from_config(source.config, source.generation_config);
  if (!description) return description.error();
  Plan plan;
  plan.description = std::move(*description);
  if (auto r = match(source, plan); !r) return r.error();
  auto rules = compile(options.rules);
  if (!rules) return rules.error();
  bool kept_any = false;
  std::vector<const TensorPlan*> first_readers;
  for (TensorPlan& t : plan.tensors) {
    auto spec = choose(t.spec, options, *rules);
    if (!spec) return spec.error();
    if (auto r = settle(*spec, options, t); !r) return r.error();
    if (auto r = join_input(*spec, t, plan, first_readers); !r) return r.error();
    kept_any |= t.method == Method::keep;
    plan.source_bytes += t.source->bytes.size() + (t.bias != nullptr ? t.bias->bytes.size() : 0);
  }
  if (auto r = settle_smoothing(options.smoothing, plan); !r) return r.error();
  for (TensorPlan& t : plan.tensors) t.bytes = tensor_bytes(plan, t);
  for (const ComponentRecord& c : lay_out(plan, {}).components) plan.stored_bytes += c.size;
  if (options.statistics != nullptr)
    if (auto r = weigh(*options.statistics, plan); !r) return r.error();
  for (size_t i = options.method_rules; i < rules->size(); i++) {
    const CompiledRule& rule = (*rules)[i];
    if (rule.used) continue;
    const std::string what =
        rule.vector.empty() ? "no tensor"
                            : "no matrix; \"" + rule.vector + "\" is a vector and stays as it is";
    return usage_error("--rule \"" + rule.rule->pattern + "\" matches " + what);
  }
  if (options.linear.method == Method::keep && !kept_any)
    return usage_error("--method keep: nothing in the input is quantized");
  return plan;
}

}  // namespace sqf

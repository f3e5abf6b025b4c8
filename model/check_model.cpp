#include "model/check_model.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "format/rules.hpp"
#include "format/text.hpp"
#include "model/description.hpp"
#include "model/tokenizer_compile.hpp"

namespace sqf {
namespace {

std::string shape_text(const uint64_t* shape, size_t rank) {
  std::string text = "[";
  for (size_t i = 0; i < rank; i++) text += (i > 0 ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

bool is_vector(Role role) {
  return role == Role::attention_norm || role == Role::q_norm || role == Role::k_norm ||
         role == Role::mlp_norm || role == Role::final_norm;
}

/// R702 for one tensor that the description asks for; null: there is none of that name.
Result<void> check_tensor(const TensorSpec& spec, const TensorRecord* tensor) {
  const uint64_t wanted[] = {static_cast<uint64_t>(spec.rows), static_cast<uint64_t>(spec.columns)};
  const size_t rank = is_vector(spec.role) ? 1 : 2;
  const std::string expected = shape_text(wanted + 2 - rank, rank);
  const auto wrong = [&](const std::string& how) {
    return broken(Rule::model_tensor, in_quotes(spec.name) + how).of(spec.name);
  };
  if (tensor == nullptr) return wrong(" is missing").values(expected, "nothing");
  if (tensor->rank != rank || !std::equal(wanted + 2 - rank, wanted + 2, tensor->shape.begin())) {
    const std::string found = shape_text(tensor->shape.data(), tensor->rank);
    return wrong(" is " + found + ", the description asks for " + expected).values(expected, found);
  }
  const bool biased = tensor->bias != kNone;
  if (biased != spec.bias)
    return wrong(biased ? " has a bias, the description says it has none"
                        : " has no bias, the description says it has one")
        .values(spec.bias ? "a bias" : "no bias", biased ? "a bias" : "no bias");
  return {};
}

/// R702: every tensor that is missing or another than asked for, then every one too many.
void check_tensors(const Directory& d, const ModelDescription& description, Findings& findings) {
  const std::vector<TensorSpec> specs = tensor_specs(description);
  std::vector<std::string_view> names;
  for (const TensorSpec& spec : specs) names.push_back(spec.name);
  std::sort(names.begin(), names.end());
  for (const TensorSpec& spec : specs) {
    const auto at = std::lower_bound(
        d.tensors.begin(), d.tensors.end(), std::string_view(spec.name),
        [&](const TensorRecord& t, std::string_view wanted) { return d.name(t) < wanted; });
    const bool there = at != d.tensors.end() && d.name(*at) == spec.name;
    findings.add(check_tensor(spec, there ? &*at : nullptr));
    if (findings.full()) return;
  }
  for (const TensorRecord& t : d.tensors) {
    const std::string_view name = d.name(t);
    if (!std::binary_search(names.begin(), names.end(), name))
      findings.add(
          broken(Rule::model_tensor, in_quotes(name) + " is none that the description asks for")
              .of(name)
              .values("nothing", shape_text(t.shape.data(), t.rank)));
    if (findings.full()) return;
  }
}

/// R704. `read`: TOKN passed R703.
Result<void> check_compiled(std::string_view tokn, std::string_view tokb, bool read) {
  if (tokb.empty()) return {};
  if (!read) return {};
  const auto tables = compile_tokenizer(tokn);
  if (!tables)
    return broken(Rule::compiled_tokenizer, tokn.empty()
                                                ? "there is no TOKN beside TOKB"
                                                : "TOKN has none: " + tables.error().message);
  if (*tables == tokb) return {};
  const auto [left, right] =
      std::mismatch(tables->begin(), tables->end(), tokb.begin(), tokb.end());
  return broken(Rule::compiled_tokenizer, "TOKB differs from byte " +
                                              std::to_string(right - tokb.begin()) + " on, has " +
                                              std::to_string(tokb.size()) + " bytes, expected " +
                                              std::to_string(tables->size()));
}

/// R701. Errors: malformed with the rule; unsupported, without one.
Result<ModelDescription> read_description(const Head& head) {
  auto description = description_from_json(head.meta["model"]);
  if (!description) {
    const Error& error = description.error();
    if (error.code == Code::unsupported) return error;
    return broken(Rule::model_description, error.message);
  }
  // Also keeps a hostile count from making a list longer than the file's.
  const auto layers = static_cast<uint64_t>(description->layers);
  const size_t tensors = head.directory.tensors.size();
  if (layers > tensors)
    return broken(Rule::model_description, "META model: \"layers\" is " + std::to_string(layers) +
                                               ", more than the " + std::to_string(tensors) +
                                               " tensors")
        .values("1.." + std::to_string(tensors), std::to_string(layers));
  return description;
}

}  // namespace

bool is_no_model(const Head& head) {
  const Json& model = head.meta["model"];
  const auto found = model.find("architecture");
  return found != model.end() && found->is_string() &&
         *found->get_ptr<const std::string*>() == "none";
}

void check_model(const Head& head, Findings& findings) {
  if (is_no_model(head)) return;
  const auto description = read_description(head);
  if (!description) return findings.add(description.error());
  check_tensors(head.directory, *description, findings);
  if (findings.full()) return;
  const std::string_view tokn = head.section_text(SectionKind::tokn);
  Result<void> read;
  if (!tokn.empty()) read = check_tokenizer(tokn, description->vocab_size);
  findings.add(read);
  findings.add(check_compiled(tokn, head.section_text(SectionKind::tokb), read.has_value()));
}

}  // namespace sqf

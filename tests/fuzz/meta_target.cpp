// META's text: strict JSON, the description in it (in SQF's words and in Hugging Face's), and the
// tensors that it asks for. A description that was read must survive being written.

#include "format/json.hpp"
#include "model/description.hpp"
#include "tests/fuzz/guard.hpp"

namespace {

void check(const sqf::Result<sqf::ModelDescription>& description) {
  if (!description) return;
  uint64_t sum = 0;
  for (const sqf::TensorSpec& spec : sqf::tensor_specs(*description)) {
    sqf::require(spec.rows > 0 && spec.columns > 0 && !spec.name.empty(), "tensors have a shape");
    sum += static_cast<uint64_t>(spec.rows) + spec.name.size();
  }
  sqf::consume(sum);
  const sqf::Json written = sqf::description_to_json(*description);
  const auto again = sqf::description_from_json(written);
  sqf::require(again.has_value(), "what was written can be read");
  sqf::require(sqf::description_to_json(*again) == written, "and says the same");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const sqf::TimeGuard guard;
  const auto json = sqf::parse_json(sqf::input_text(data, size), "META");
  if (!json) return 0;
  // META as a whole, a "model" object alone, or a config.json, perhaps beside its
  // generation_config.json.
  if (json->is_object() && json->contains("model"))
    check(sqf::description_from_json((*json)["model"]));
  check(sqf::description_from_json(*json));
  const bool both = json->is_object() && json->contains("config");
  const bool generation = json->is_object() && json->contains("generation");
  check(sqf::description_from_config(both ? (*json)["config"] : *json,
                                     generation ? (*json)["generation"] : sqf::Json()));
  return 0;
}

// A chat template, rendered for one conversation with tools in it. The renderer bounds work,
// depth, memory and output by itself; here it is held to that.

#include "format/text.hpp"
#include "model/chat_template.hpp"
#include "tests/fuzz/guard.hpp"

namespace {

constexpr const char* kContext = R"({
  "messages": [
    {"role": "system", "content": "You are <|im_end|> helpful."},
    {"role": "user", "content": "Hi \u00e9\n {{ 7 * 7 }}"},
    {"role": "assistant", "content": null, "tool_calls": [
      {"type": "function", "function": {"name": "f", "arguments": {"x": 1, "y": [true, null]}}}]},
    {"role": "tool", "content": [{"type": "text", "text": "a&b <c>"}]}],
  "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters":
    {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}}}],
  "documents": [], "bos_token": "<s>", "eos_token": "</s>", "add_generation_prompt": true,
  "number": -7, "fraction": 2.5, "enable_thinking": false})";

const sqf::OrderedJson& context() {
  static const sqf::OrderedJson value = sqf::OrderedJson::parse(kContext);
  return value;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const sqf::TimeGuard guard;
  const auto parsed = sqf::ChatTemplate::parse(sqf::input_text(data, size));
  if (!parsed) return 0;
  const auto spans = parsed->render(context());
  if (!spans) return 0;
  for (size_t i = 0; i < spans->size(); i++) {
    const sqf::TemplateSpan& span = (*spans)[i];
    sqf::require(!span.text.empty() && sqf::is_utf8(span.text), "spans are text");
    sqf::require(i == 0 || (*spans)[i - 1].from_user != span.from_user, "neighbours differ");
  }
  return 0;
}

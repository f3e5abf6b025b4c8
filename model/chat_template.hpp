#pragma once
// Chat templates: the part of Jinja 3.1 that published models use, run in the sandbox that Hugging
// Face gives them (trim_blocks, lstrip_blocks, loop controls, nothing mutable but namespaces).
// Refuses templates over 1 MiB, include, import, extends, block, autoescape and a few filters by
// name, and stops a render that loops, recurses, works or writes more than a conversation can need.

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "format/result.hpp"

namespace sqf {

/// JSON that keeps the order in which keys were given, as `tojson` shows it. An ordinary Json
/// converts to it with its keys sorted.
using OrderedJson = nlohmann::ordered_json;

struct JinjaProgram;

/// A stretch of rendered text, never empty. Neighbours differ in `from_user`.
struct TemplateSpan {
  std::string text;
  bool from_user = false;  ///< came out of a message's content: read no control tokens in it
};

/// A parsed template. Copies share the program; rendering is safe from several threads at once.
class ChatTemplate {
 public:
  /// Errors: malformed, with line and column; unsupported, naming the construct.
  static Result<ChatTemplate> parse(std::string_view source);

  /// `context` is an object: messages, add_generation_prompt, bos_token, eos_token, tools and
  /// whatever else the template may read. Whatever lies under messages[*].content is the user's,
  /// and each of its characters stays so through every operation of the template.
  /// Errors: usage, with the message alone if the template called raise_exception, else with the
  /// line; unsupported, naming the construct; malformed, where the template exceeds a limit.
  Result<std::vector<TemplateSpan>> render(const OrderedJson& context) const;

 private:
  explicit ChatTemplate(std::shared_ptr<const JinjaProgram> program)
      : program_(std::move(program)) {}
  std::shared_ptr<const JinjaProgram> program_;
};

}  // namespace sqf

#include "model/chat_template.hpp"

#include "format/text.hpp"
#include "model/jinja/interpreter.hpp"
#include "model/jinja/parser.hpp"

namespace sqf {
namespace {

using Value = JinjaValue;

constexpr int kMaxContextDepth = 128;

/// Brings the caller's JSON into values. `messages[*].content` is marked on the way.
class ContextReader {
 public:
  explicit ContextReader(JinjaRuntime& runtime) : rt_(runtime) {}

  Value read(const OrderedJson& json, bool from_user, int depth) {
    if (depth > kMaxContextDepth) return fail("nested too deeply");
    switch (json.type()) {
      case OrderedJson::value_t::null:
        return Value::of_none();
      case OrderedJson::value_t::boolean:
        return Value::of_bool(json.get<bool>());
      case OrderedJson::value_t::number_integer:
        return Value::of_integer(json.get<int64_t>());
      case OrderedJson::value_t::number_unsigned:
        if (json.get<uint64_t>() > INT64_MAX) return fail("an integer beyond 64 bits");
        return Value::of_integer(json.get<int64_t>());
      case OrderedJson::value_t::number_float:
        return Value::of_floating(json.get<double>());
      case OrderedJson::value_t::string:
        return text(json.get_ref<const std::string&>(), from_user);
      case OrderedJson::value_t::array: {
        std::vector<Value> items;
        for (const OrderedJson& item : json) items.push_back(read(item, from_user, depth + 1));
        return rt_.list(std::move(items));
      }
      case OrderedJson::value_t::object:
        return object(json, from_user, false, depth);
      default:
        return fail("a value that is not JSON");
    }
  }

  Value messages(const OrderedJson& json) {
    if (!json.is_array()) return read(json, true, 1);
    std::vector<Value> items;
    for (const OrderedJson& message : json)
      items.push_back(message.is_object() ? object(message, false, true, 2)
                                          : read(message, true, 2));
    return rt_.list(std::move(items));
  }

 private:
  Value fail(const std::string& what) {
    return rt_.fail(usage_error("chat template context: " + what));
  }

  Value text(const std::string& bytes, bool from_user) {
    if (!is_utf8(bytes)) return fail("a string that is not UTF-8");
    return rt_.text(JinjaText(bytes, from_user));
  }

  Value object(const OrderedJson& json, bool from_user, bool is_message, int depth) {
    JinjaDict dict;
    for (const auto& [key, item] : json.items()) {
      const bool user = from_user || (is_message && key == "content");
      dict.entries.emplace_back(text(key, from_user), read(item, user, depth + 1));
      if (rt_.failed()) return {};
    }
    return rt_.dict(std::move(dict));
  }

  JinjaRuntime& rt_;
};

std::vector<TemplateSpan> to_spans(const JinjaText& text) {
  std::vector<TemplateSpan> spans;
  size_t at = 0;
  for (const JinjaRange& mark : text.marks) {
    if (mark.begin > at) spans.push_back({text.bytes.substr(at, mark.begin - at), false});
    spans.push_back({text.bytes.substr(mark.begin, mark.end - mark.begin), true});
    at = mark.end;
  }
  if (at < text.bytes.size()) spans.push_back({text.bytes.substr(at), false});
  return spans;
}

}  // namespace

Result<ChatTemplate> ChatTemplate::parse(std::string_view source) {
  Result<JinjaProgram> program = jinja_parse(source);
  if (!program) return program.error();
  return ChatTemplate(std::make_shared<const JinjaProgram>(std::move(*program)));
}

Result<std::vector<TemplateSpan>> ChatTemplate::render(const OrderedJson& context) const {
  if (!context.is_object()) return usage_error("chat template context: not a JSON object");
  JinjaRuntime runtime;
  JinjaInterpreter interpreter(*program_, runtime);
  ContextReader reader(runtime);
  for (const auto& [name, value] : context.items()) {
    if (!interpreter.uses(name)) continue;
    interpreter.define(name,
                       name == "messages" ? reader.messages(value) : reader.read(value, false, 1));
    if (runtime.failed()) return runtime.error();
  }
  const JinjaText output = interpreter.run();
  if (runtime.failed()) return runtime.error();
  return to_spans(output);
}

}  // namespace sqf

#include "model/normalizer.hpp"

#include "format/text.hpp"
#include "model/unicode.hpp"

namespace sqf {
namespace {

constexpr size_t kMaxNormalizerSteps = 16;
constexpr int kMaxNormalizerDepth = 4;

// Real normalizers grow text at most threefold (a space becomes U+2581). The bound keeps a
// sequence of replacements from doubling it without end.
constexpr size_t kMaxGrowth = 64;
constexpr size_t kMaxGrowthBytes = 65536;
constexpr size_t kMaxContent = 64;

}  // namespace

std::string replace_all(std::string_view text, std::string_view pattern, std::string_view content) {
  std::string out;
  if (pattern.empty()) return std::string(text);
  out.reserve(text.size());
  size_t from = 0;
  while (true) {
    const size_t found = text.find(pattern, from);
    out += text.substr(from, found - from);
    if (found == std::string_view::npos) return out;
    out += content;
    from = found + pattern.size();
  }
}

Result<std::string> string_pattern(const Field& component) {
  auto pattern = object_at(component, "pattern");
  if (!pattern) return pattern.error();
  if (const Field regex = pattern->find("Regex")) {
    if (!regex->is_string()) return wrong_type(regex, "a string");
    return unsupported("tokenizer.json: " + component.path +
                       " by a regular expression is not implemented: " +
                       in_quotes(*regex->get_ptr<const std::string*>()));
  }
  auto text = string_at(*pattern, "String");
  if (text && text->empty())
    return malformed("tokenizer.json: " + pattern->path + ".String is empty");
  return text;
}

Result<Normalizer> Normalizer::from_json(const Field& component) {
  Normalizer normalizer;
  if (component)
    if (auto added = normalizer.add(component, 0); !added) return added.error();
  return normalizer;
}

Result<void> Normalizer::add(const Field& component, int depth) {
  auto type = component_type(component);
  if (!type) return type.error();
  if (depth > kMaxNormalizerDepth || steps_.size() == kMaxNormalizerSteps)
    return unsupported("tokenizer.json: " + component.path + ": too many normalizers");
  if (*type == "Sequence") {
    auto list = array_at(component, "normalizers");
    if (!list) return list.error();
    for (size_t i = 0; i < list->json->size(); ++i)
      if (auto added = add(list->at(i), depth + 1); !added) return added;
    return {};
  }
  if (*type == "NFC") {
    steps_.push_back(Nfc{});
    return {};
  }
  if (*type == "Prepend") {
    auto text = string_at(component, "prepend");
    if (!text) return text.error();
    steps_.push_back(Prepend{*text});
    return {};
  }
  if (*type == "Replace") {
    auto pattern = string_pattern(component);
    if (!pattern) return pattern.error();
    auto content = string_at(component, "content");
    if (!content) return content.error();
    if (content->size() > kMaxContent)
      return unsupported("tokenizer.json: " + component.path + ".content is longer than " +
                         std::to_string(kMaxContent) + " bytes");
    steps_.push_back(Replace{*pattern, *content});
    return {};
  }
  return unknown_component(component, *type);
}

Result<std::string> Normalizer::apply(std::string_view text) const {
  std::string out(text);
  const size_t bound = kMaxGrowth * text.size() + kMaxGrowthBytes;
  for (const auto& step : steps_) {
    size_t longest = out.size();
    if (const auto* prepend = std::get_if<Prepend>(&step)) {
      longest += prepend->text.size();
      if (!out.empty()) out.insert(0, prepend->text);
    } else if (const auto* replace = std::get_if<Replace>(&step)) {
      out = replace_all(out, replace->pattern, replace->content);
      longest = out.size();
    } else {
      out = nfc(out);
    }
    if (longest > bound || out.size() > bound)
      return malformed("tokenizer.json: normalizer grows " + std::to_string(text.size()) +
                       " bytes of text to " + std::to_string(longest));
  }
  return out;
}

}  // namespace sqf

#include "model/token_decoder.hpp"

#include "format/text.hpp"
#include "model/byte_level.hpp"
#include "model/metaspace.hpp"
#include "model/normalizer.hpp"

namespace sqf {
namespace {

constexpr int kMaxDecoderDepth = 4;
constexpr size_t kMaxReplacements = 8;

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

/// The byte that "<0xNN>" stands for, or -1.
int fallback_byte(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
  const int high = hex_digit(token[3]);
  const int low = hex_digit(token[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

Error wrong_order(const Field& component, std::string_view type) {
  return unsupported("tokenizer.json: " + component.path + ": a decoder of type " +
                     in_quotes(type) + " at this place is not implemented");
}

}  // namespace

Result<TokenDecoder> TokenDecoder::from_json(const Field& component) {
  TokenDecoder decoder;
  if (!component) return unsupported("tokenizer.json: no decoder, which is not implemented");
  if (auto added = decoder.add(component, true, 0); !added) return added.error();
  return decoder;
}

Result<void> TokenDecoder::add(const Field& component, bool alone, int depth) {
  auto type = component_type(component);
  if (!type) return type.error();
  if (depth > kMaxDecoderDepth) return wrong_order(component, *type);
  if (*type == "Sequence") {
    auto list = array_at(component, "decoders");
    if (!list) return list.error();
    for (size_t i = 0; i < list->json->size(); ++i)
      if (auto added = add(list->at(i), alone && list->json->size() == 1, depth + 1); !added)
        return added;
    return {};
  }
  if (*type == "Fuse") {
    fused_ = true;
    return {};
  }
  if (*type == "ByteFallback") {
    if (fused_ || byte_fallback_) return wrong_order(component, *type);
    byte_fallback_ = true;
    return {};
  }
  if (*type == "Replace") return add_replace(component);
  if (*type == "Strip") return add_strip(component);
  if (*type != "ByteLevel" && *type != "Metaspace") return unknown_component(component, *type);
  if (!alone) return wrong_order(component, *type);
  if (*type == "Metaspace") {
    auto metaspace = read_metaspace(component);
    if (!metaspace) return metaspace.error();
    metaspace_ = std::move(metaspace->replacement);
    drops_first_ = metaspace->prepend != PrependScheme::never;
    return {};
  }
  byte_level_ = true;
  return {};
}

Result<void> TokenDecoder::add_replace(const Field& component) {
  if (fused_ || byte_fallback_ || replacements_.size() == kMaxReplacements)
    return wrong_order(component, "Replace");
  auto pattern = string_pattern(component);
  if (!pattern) return pattern.error();
  auto content = string_at(component, "content");
  if (!content) return content.error();
  if (content->size() > pattern->size())
    return unsupported("tokenizer.json: " + component.path + " makes tokens longer");
  replacements_.emplace_back(*pattern, *content);
  return {};
}

Result<void> TokenDecoder::add_strip(const Field& component) {
  auto content = string_at(component, "content");
  auto start = integer_at(component, "start");
  auto stop = integer_at(component, "stop");
  if (!content) return content.error();
  if (!start) return start.error();
  if (!stop) return stop.error();
  if (!fused_ || n_strip_ != 0 || *stop != 0) return wrong_order(component, "Strip");
  if (content->empty() || content->size() > 4)
    return malformed("tokenizer.json: " + component.path + ".content is not one character");
  constexpr int64_t kMost = 1 << 16;
  if (*start < 0 || *start > kMost)
    return malformed("tokenizer.json: " + component.path + ".start is " + std::to_string(*start) +
                     ", not in 0.." + std::to_string(kMost));
  strip_content_ = *content;
  n_strip_ = static_cast<int>(*start);
  return {};
}

std::string TokenDecoder::bytes(std::string_view token) const {
  if (byte_level_) return bytes_of_byte_level(token).value_or(std::string(token));
  if (!metaspace_.empty()) return replace_all(token, metaspace_, " ");
  std::string out(token);
  for (const auto& [pattern, content] : replacements_) out = replace_all(out, pattern, content);
  if (!byte_fallback_) return out;
  const int byte = fallback_byte(out);
  return byte < 0 ? out : std::string(1, static_cast<char>(byte));
}

std::string TokenDecoder::first_bytes(std::string_view token) const {
  return drops_first_ ? replace_all(token, metaspace_, "") : bytes(token);
}

}  // namespace sqf

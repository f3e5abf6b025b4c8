#include "model/pretokenizer.hpp"

#include <algorithm>
#include <utility>

#include "format/text.hpp"
#include "model/byte_level.hpp"
#include "model/normalizer.hpp"
#include "model/unicode.hpp"

namespace sqf {
namespace {

// A step grows a piece at most eightfold (Metaspace, one byte that becomes two characters of four),
// so this bound on its input keeps 32-bit offsets from wrapping.
constexpr size_t kMaxBytes = size_t{1} << 28;
constexpr size_t kMaxPretokenizerSteps = 8;
constexpr int kMaxPretokenizerDepth = 4;

/// Spans of `needle` in `piece`, in bytes, and of what lies between.
void find_string(std::string_view piece, std::string_view needle, std::vector<Span>& out) {
  out.clear();
  size_t from = 0;
  while (from < piece.size()) {
    const size_t found = std::min(piece.find(needle, from), piece.size());
    if (found > from)
      out.push_back({static_cast<uint32_t>(from), static_cast<uint32_t>(found), false});
    if (found == piece.size()) return;
    from = found + needle.size();
    out.push_back({static_cast<uint32_t>(found), static_cast<uint32_t>(from), true});
  }
}

}  // namespace

Result<PreTokenizer> PreTokenizer::from_json(const Field& component) {
  PreTokenizer pre_tokenizer;
  if (component)
    if (auto added = pre_tokenizer.add(component, 0); !added) return added.error();
  return pre_tokenizer;
}

Result<void> PreTokenizer::add(const Field& component, int depth) {
  auto type = component_type(component);
  if (!type) return type.error();
  if (depth > kMaxPretokenizerDepth || steps_.size() == kMaxPretokenizerSteps)
    return unsupported("tokenizer.json: " + component.path + ": too many pre-tokenizers");
  if (*type == "Sequence") {
    auto list = array_at(component, "pretokenizers");
    if (!list) return list.error();
    for (size_t i = 0; i < list->json->size(); ++i)
      if (auto added = add(list->at(i), depth + 1); !added) return added;
    return {};
  }
  if (*type == "ByteLevel") {
    // Both default to true, as they do where the file was written.
    auto prefix = bool_at(component, "add_prefix_space", true);
    auto regex = bool_at(component, "use_regex", true);
    if (!prefix) return prefix.error();
    if (!regex) return regex.error();
    steps_.push_back(ByteLevel{*prefix, *regex});
    return {};
  }
  if (*type == "Digits") {
    auto individual = bool_at(component, "individual_digits", false);
    if (!individual) return individual.error();
    steps_.push_back(Digits{*individual});
    return {};
  }
  if (*type == "Split") {
    auto split = read_split(component);
    if (!split) return split.error();
    steps_.push_back(*std::move(split));
    return {};
  }
  if (*type == "Metaspace") {
    auto metaspace = read_metaspace(component);
    if (!metaspace) return metaspace.error();
    steps_.push_back(*std::move(metaspace));
    return {};
  }
  return unknown_component(component, *type);
}

Result<PreTokenizer::Split> PreTokenizer::read_split(const Field& component) const {
  Split split{};
  auto pattern = object_at(component, "pattern");
  if (!pattern) return pattern.error();
  if (pattern->find("Regex")) {
    auto regex = string_at(*pattern, "Regex");
    if (!regex) return regex.error();
    split.regex = find_split_regex(*regex);
    if (split.regex == nullptr)
      return unsupported("tokenizer.json: " + pattern->path +
                         ".Regex is none of the known expressions: " + in_quotes(*regex));
  } else {
    auto text = string_pattern(component);
    if (!text) return text.error();
    split.text = *text;
  }
  auto behavior = string_at(component, "behavior");
  if (!behavior) return behavior.error();
  constexpr std::pair<std::string_view, Behavior> kBehaviors[] = {
      {"Removed", Behavior::removed},
      {"Isolated", Behavior::isolated},
      {"MergedWithPrevious", Behavior::merged_with_previous},
      {"MergedWithNext", Behavior::merged_with_next},
      {"Contiguous", Behavior::contiguous},
  };
  const auto* known = std::find_if(std::begin(kBehaviors), std::end(kBehaviors),
                                   [&](const auto& entry) { return entry.first == *behavior; });
  if (known == std::end(kBehaviors))
    return malformed("tokenizer.json: " + component.path + ".behavior " + in_quotes(*behavior) +
                     " does not exist");
  split.behavior = known->second;
  auto invert = bool_at(component, "invert", false);
  if (!invert) return invert.error();
  split.invert = *invert;
  return split;
}

Result<Pieces> PreTokenizer::split(std::string text, bool at_start) const {
  Pieces pieces;
  pieces.at_start = at_start;
  constexpr auto kTooLong = "text of more than 256 MiB between two special tokens";
  if (text.size() > kMaxBytes) return malformed(kTooLong);
  pieces.text = std::move(text);
  pieces.close();
  for (const auto& step : steps_) {
    Pieces next;
    next.at_start = pieces.at_start;
    next.text.reserve(pieces.text.size());
    next.ends.reserve(pieces.ends.size());
    if (pieces.text.size() > kMaxBytes) return malformed(kTooLong);
    std::visit([&](const auto& kind) { run(kind, pieces, next); }, step);
    pieces = std::move(next);
  }
  return pieces;
}

void PreTokenizer::run(const ByteLevel& step, const Pieces& in, Pieces& out) {
  Chars chars;
  std::vector<Span> spans;
  std::string prefixed;
  for (size_t i = 0; i < in.size(); ++i) {
    std::string_view piece = in[i];
    if (step.add_prefix_space && !piece.starts_with(' ')) {
      prefixed.assign(1, ' ');
      prefixed.append(piece);
      piece = prefixed;
    }
    if (!step.use_regex) {
      append_byte_level(out.text, piece);
      out.close();
      continue;
    }
    decode_chars(piece, chars);
    match_all(byte_level_regex(), chars, spans);
    for (const Span& span : spans) {
      const uint32_t begin = chars.begin[span.begin];
      append_byte_level(out.text, piece.substr(begin, chars.begin[span.end] - begin));
      out.close();
    }
  }
}

void PreTokenizer::run(const Digits& step, const Pieces& in, Pieces& out) {
  for (size_t i = 0; i < in.size(); ++i) {
    const std::string_view piece = in[i];
    size_t at = 0;
    bool after_digit = false;
    while (at < piece.size()) {
      const size_t begin = at;
      const bool digit = (char_mask(next_char(piece, at)) & kNumber) != 0;
      if (digit != after_digit || (digit && step.individual)) out.close();
      out.text += piece.substr(begin, at - begin);
      after_digit = digit;
    }
    out.close();
  }
}

void PreTokenizer::apply_behavior(Behavior behavior, std::vector<Span>& spans) {
  std::vector<Span> joined;
  const auto join_if = [&](const auto& joins) {
    for (const Span& span : spans) {
      if (!joined.empty() && joins(joined.back(), span)) {
        joined.back().end = span.end;
        joined.back().is_match = span.is_match;
      } else {
        joined.push_back(span);
      }
    }
    spans.swap(joined);
  };
  // A span keeps the kind of its last part, so of two matches in a row only one is merged.
  switch (behavior) {
    case Behavior::isolated:
      return;
    case Behavior::removed:
      std::erase_if(spans, [](const Span& span) { return span.is_match; });
      return;
    case Behavior::contiguous:
      return join_if([](const Span& a, const Span& b) { return a.is_match == b.is_match; });
    case Behavior::merged_with_previous:
      return join_if([](const Span& a, const Span& b) { return !a.is_match && b.is_match; });
    case Behavior::merged_with_next:
      return join_if([](const Span& a, const Span& b) { return a.is_match && !b.is_match; });
  }
}

void PreTokenizer::run(const Split& step, const Pieces& in, Pieces& out) {
  Chars chars;
  std::vector<Span> spans;
  for (size_t i = 0; i < in.size(); ++i) {
    const std::string_view piece = in[i];
    if (step.regex != nullptr) {
      decode_chars(piece, chars);
      match_all(*step.regex, chars, spans);
      for (Span& span : spans)
        span = {chars.begin[span.begin], chars.begin[span.end], span.is_match};
    } else {
      find_string(piece, step.text, spans);
    }
    if (step.invert)
      for (Span& span : spans) span.is_match = !span.is_match;
    apply_behavior(step.behavior, spans);
    if (i == 0 && (spans.empty() || spans.front().begin > 0)) out.at_start = false;
    for (const Span& span : spans) {
      out.text += piece.substr(span.begin, span.end - span.begin);
      out.close();
    }
  }
}

void PreTokenizer::run(const Metaspace& step, const Pieces& in, Pieces& out) {
  std::vector<Span> spans;
  for (size_t i = 0; i < in.size(); ++i) {
    std::string piece = replace_all(in[i], " ", step.replacement);
    const bool wanted = step.prepend == PrependScheme::always ||
                        (step.prepend == PrependScheme::first && in.at_start && i == 0);
    if (wanted && !piece.starts_with(step.replacement)) piece.insert(0, step.replacement);
    if (step.split) {
      find_string(piece, step.replacement, spans);
      apply_behavior(Behavior::merged_with_next, spans);
    } else {
      spans.assign(1, {0, static_cast<uint32_t>(piece.size()), false});
    }
    for (const Span& span : spans) {
      out.text += std::string_view(piece).substr(span.begin, span.end - span.begin);
      out.close();
    }
  }
}

}  // namespace sqf

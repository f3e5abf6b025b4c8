#include "model/split_regex.hpp"

#include <array>

namespace sqf {
namespace {

bool has(const Chars& text, uint32_t at, uint32_t mask) {
  return at < text.size() && (text.mask[at] & mask) != 0;
}
bool is(const Chars& text, uint32_t at, char32_t code) {
  return at < text.size() && text.code[at] == code;
}
bool is_newline(const Chars& text, uint32_t at) {
  return is(text, at, '\r') || is(text, at, '\n');
}

uint32_t skip(const Chars& text, uint32_t at, uint32_t mask) {
  while (has(text, at, mask)) ++at;
  return at;
}

char32_t ascii_lower(char32_t code) {
  return code >= 'A' && code <= 'Z' ? code + 32 : code;
}

/// 's|'t|'re|'ve|'m|'ll|'d
template <bool kAnyCase>
uint32_t contraction(const Chars& text, uint32_t at) {
  if (!is(text, at, '\'')) return at;
  const auto letter = [&](uint32_t i) -> char32_t {
    if (i >= text.size()) return 0;
    return kAnyCase ? ascii_lower(text.code[i]) : text.code[i];
  };
  const char32_t first = letter(at + 1);
  const char32_t second = letter(at + 2);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return at + 2;
  // Without regard to case, the long s is an s.
  if (kAnyCase && first == 0x17F) return at + 2;
  if ((first == 'r' || first == 'v') && second == 'e') return at + 3;
  if (first == 'l' && second == 'l') return at + 3;
  return at;
}

/// " ?" and then one or more of `kMask`
template <uint32_t kMask>
uint32_t spaced_run(const Chars& text, uint32_t at) {
  const uint32_t begin = is(text, at, ' ') ? at + 1 : at;
  const uint32_t end = skip(text, begin, kMask);
  return end > begin ? end : at;
}

/// " ?[^...]+" with the mask of what is excluded, then any of "\r\n" (and "/")
enum class Tail : uint8_t { none, newlines, newlines_and_slashes };
template <uint32_t kExcluded, Tail kTail>
uint32_t spaced_others(const Chars& text, uint32_t at) {
  const uint32_t begin = is(text, at, ' ') ? at + 1 : at;
  uint32_t end = begin;
  while (end < text.size() && (text.mask[end] & kExcluded) == 0) ++end;
  if (end == begin) return at;
  if (kTail != Tail::none)
    while (is_newline(text, end) || (kTail == Tail::newlines_and_slashes && is(text, end, '/')))
      ++end;
  return end;
}

/// " ?[\p{P}\p{S}]+[\r\n]*"
uint32_t spaced_punctuation(const Chars& text, uint32_t at) {
  uint32_t end = spaced_run<kPunctuation | kSymbol>(text, at);
  if (end == at) return at;
  while (is_newline(text, end)) ++end;
  return end;
}

/// "[^\r\n...]?" with the mask of what is excluded, then one or more of `kWord`
template <uint32_t kExcluded, uint32_t kWord>
uint32_t prefixed_word(const Chars& text, uint32_t at) {
  if (at < text.size() && !is_newline(text, at) && (text.mask[at] & kExcluded) == 0) {
    const uint32_t end = skip(text, at + 1, kWord);
    if (end > at + 1) return end;
  }
  return skip(text, at, kWord);
}

template <uint32_t kMost>
uint32_t digits(const Chars& text, uint32_t at) {
  uint32_t end = at;
  while (end - at < kMost && has(text, end, kNumber)) ++end;
  return end;
}

constexpr uint32_t kUpperPart = lu | lt | lm | lo | kMark;
constexpr uint32_t kLowerPart = ll | lm | lo | kMark;

/// Upper* Lower+: the run of upper gives back characters until one of them can be the lower one.
uint32_t upper_then_lower(const Chars& text, uint32_t at) {
  const uint32_t run = skip(text, at, kUpperPart);
  const uint32_t end = skip(text, run, kLowerPart);
  if (end > run) return end;
  for (uint32_t last = run; last > at; --last)
    if (has(text, last - 1, kLowerPart)) return last;
  return at;
}

/// Upper+ Lower*
uint32_t upper_maybe_lower(const Chars& text, uint32_t at) {
  const uint32_t run = skip(text, at, kUpperPart);
  return run == at ? at : skip(text, run, kLowerPart);
}

/// "[^\r\n\p{L}\p{N}]?", then `kWord`, then a contraction if asked for
template <Alternative kWord, bool kContraction>
uint32_t cased_word(const Chars& text, uint32_t at) {
  uint32_t end = at;
  if (at < text.size() && !is_newline(text, at) && !has(text, at, kLetter | kNumber)) {
    const uint32_t word_end = kWord(text, at + 1);
    if (word_end > at + 1) end = word_end;
  }
  if (end == at) end = kWord(text, at);
  if (end == at || !kContraction) return end;
  return contraction<true>(text, end);
}

/// "\s*[\r\n]+": to the last newline of the run of spaces
uint32_t spaces_to_newline(const Chars& text, uint32_t at) {
  uint32_t end = skip(text, at, white_space);
  while (end > at && !is_newline(text, end - 1)) --end;
  return end;
}

/// "\s+(?!\S)": all of a run but the space that belongs to the next word
uint32_t spaces_before_last(const Chars& text, uint32_t at) {
  const uint32_t end = skip(text, at, white_space);
  if (end == text.size() || end == at) return end;
  return end - 1;
}

uint32_t spaces(const Chars& text, uint32_t at) {
  return skip(text, at, white_space);
}

/// "[一-龥぀-ゟ゠-ヿ]+"
uint32_t han_and_kana(const Chars& text, uint32_t at) {
  const auto inside = [&](uint32_t i) {
    return i < text.size() && ((text.code[i] >= 0x4E00 && text.code[i] <= 0x9FA5) ||
                               (text.code[i] >= 0x3040 && text.code[i] <= 0x30FF));
  };
  while (inside(at)) ++at;
  return at;
}

/// ASCII punctuation, then one or more ASCII letters
uint32_t ascii_punctuated_word(const Chars& text, uint32_t at) {
  const auto code = [&](uint32_t i) { return i < text.size() ? text.code[i] : U'\0'; };
  const auto is_letter = [](char32_t c) { return ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z'; };
  const char32_t mark = code(at);
  const bool punctuation =
      mark > ' ' && mark < 0x7F && !is_letter(mark) && !(mark >= '0' && mark <= '9');
  if (!punctuation || !is_letter(code(at + 1))) return at;
  uint32_t end = at + 2;
  while (is_letter(code(end))) ++end;
  return end;
}

constexpr uint32_t kWordLike = kLetter | kNumber;

constexpr std::array kGpt2 = {
    contraction<false>,  spaced_run<kLetter>,
    spaced_run<kNumber>, spaced_others<kWordLike | white_space, Tail::none>,
    spaces_before_last,  spaces};
constexpr std::array kLlama3 = {contraction<true>,
                                prefixed_word<kWordLike, kLetter>,
                                digits<3>,
                                spaced_others<kWordLike | white_space, Tail::newlines>,
                                spaces_to_newline,
                                spaces_before_last,
                                spaces};
constexpr std::array kQwen2 = {contraction<true>,
                               prefixed_word<kWordLike, kLetter>,
                               digits<1>,
                               spaced_others<kWordLike | white_space, Tail::newlines>,
                               spaces_to_newline,
                               spaces_before_last,
                               spaces};
constexpr std::array kQwen35 = {contraction<true>,
                                prefixed_word<kWordLike, kLetter | kMark>,
                                digits<1>,
                                spaced_others<kWordLike | kMark | white_space, Tail::newlines>,
                                spaces_to_newline,
                                spaces_before_last,
                                spaces};
constexpr std::array kGpt4o = {cased_word<upper_then_lower, true>,
                               cased_word<upper_maybe_lower, true>,
                               digits<3>,
                               spaced_others<kWordLike | white_space, Tail::newlines_and_slashes>,
                               spaces_to_newline,
                               spaces_before_last,
                               spaces};
constexpr std::array kTekken = {cased_word<upper_then_lower, false>,
                                cased_word<upper_maybe_lower, false>,
                                digits<1>,
                                spaced_others<kWordLike | white_space, Tail::newlines_and_slashes>,
                                spaces_to_newline,
                                spaces_before_last,
                                spaces};
constexpr std::array<Alternative, 1> kThreeDigits = {digits<3>};
constexpr std::array<Alternative, 1> kOneDigit = {digits<1>};
constexpr std::array<Alternative, 1> kHanAndKana = {han_and_kana};
constexpr std::array kDeepseek = {
    ascii_punctuated_word, prefixed_word<kLetter | kPunctuation | kSymbol, kLetter | kMark>,
    spaced_punctuation,    spaces_to_newline,
    spaces_before_last,    spaces};

constexpr SplitRegex kKnown[] = {
    {R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", kGpt2},
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3})"
     R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     kLlama3},
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N})"
     R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     kQwen2},
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N})"
     R"(| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     kQwen35},
    {R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
     R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
     R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
     R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
     R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     kGpt4o},
    {R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
     R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
     R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     kTekken},
    {R"(\p{N}{1,3})", kThreeDigits},
    {R"(\p{N})", kOneDigit},
    {"[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+", kHanAndKana},
    {R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)"
     R"(| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     kDeepseek},
};

}  // namespace

const SplitRegex* find_split_regex(std::string_view pattern) {
  for (const SplitRegex& regex : kKnown)
    if (regex.pattern == pattern) return &regex;
  return nullptr;
}

const SplitRegex& byte_level_regex() {
  return kKnown[0];
}

void match_all(const SplitRegex& regex, const Chars& text, std::vector<Span>& out) {
  out.clear();
  uint32_t gap = 0;  // where the text that nothing has matched begins
  uint32_t at = 0;
  while (at < text.size()) {
    uint32_t end = at;
    for (const Alternative alternative : regex.alternatives) {
      end = alternative(text, at);
      if (end > at) break;
    }
    if (end == at) {
      ++at;
      continue;
    }
    if (gap < at) out.push_back({gap, at, false});
    out.push_back({at, end, true});
    at = gap = end;
  }
  if (gap < at) out.push_back({gap, at, false});
}

}  // namespace sqf

// What a file holds, in words.

#include <langinfo.h>

#include <algorithm>
#include <cstdio>

#include "apps/sqcheck.hpp"
#include "format/text.hpp"

namespace sqf {

bool speaks_utf8() {
  return std::string_view(nl_langinfo(CODESET)) == "UTF-8";
}

std::string shown(std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  const bool utf8 = speaks_utf8();
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const char32_t code = next_char(text, at);
    const bool control = code < 0x20 || (code >= 0x7f && code < 0xa0);
    for (const char c : text.substr(begin, at - begin)) {
      const auto value = static_cast<uint8_t>(c);
      if (!control && (value < 0x80 || utf8))
        out += c;
      else
        out += {'\\', 'x', kHex[value >> 4], kHex[value & 15]};
    }
  }
  return out;
}

std::string shape_text(const TensorRecord& t) {
  std::string text = "[";
  for (size_t i = 0; i < t.rank; i++) text += (i > 0 ? ", " : "") + std::to_string(t.shape[i]);
  return text + "]";
}

std::string megabytes(uint64_t bytes) {
  char text[40];
  const auto value = static_cast<double>(bytes);
  if (bytes < 1000)
    std::snprintf(text, sizeof text, "%d B", static_cast<int>(bytes));
  else if (bytes < 1'000'000)
    std::snprintf(text, sizeof text, "%.1f KB", value / 1e3);
  else if (bytes < 10'000'000'000)
    std::snprintf(text, sizeof text, "%.1f MB", value / 1e6);
  else
    std::snprintf(text, sizeof text, "%.1f GB", value / 1e9);
  return text;
}

std::string short_words(const EncodingRecord& e) {
  const std::string words = describe(e);
  return words.substr(0, words.find(','));
}

std::string extras_text(const Directory& d, const TensorRecord& t) {
  std::string text;
  const auto add = [&](const std::string& what) { text += (text.empty() ? "" : ", ") + what; };
  bool row_sums = false, column_factors = false;
  for (uint32_t p = t.part_first; p < t.part_first + t.part_count; p++) {
    row_sums |= d.parts[p].row_sums != kNone;
    column_factors |= d.parts[p].column_factors != kNone;
  }
  if (t.bias != kNone) add("bias");
  if (t.rank_pair != 0)
    add("low-rank " + std::to_string(t.rank_pair) + " " +
        element_name(d.components[t.low_rank_a].element));
  if (column_factors) add("column factors");
  if (row_sums) add("row sums");
  return text;
}

std::string quantizer_text(const ColumnSetRecord& set) {
  std::string text;
  switch (set.quantizer) {
    case QuantizerKind::none:
      return "not quantized";
    case QuantizerKind::integer:
      text = "int" + std::to_string(set.bits) + (set.asymmetric != 0 ? " asymmetric" : "");
      break;
    case QuantizerKind::minifloat:
      text = "minifloat e" + std::to_string(set.exponent_bits) + "m" +
             std::to_string(set.mantissa_bits);
      break;
  }
  text += set.per_tensor != 0 ? " per tensor" : " per token";
  if (set.is_static == 0) return text;
  char numbers[80];
  std::snprintf(numbers, sizeof numbers, ", scale %g", static_cast<double>(set.scale));
  text += numbers;
  std::snprintf(numbers, sizeof numbers, ", low %g", static_cast<double>(set.low));
  return set.asymmetric != 0 ? text + numbers : text;
}

std::string input_text(const InputRecord& input) {
  std::string text = std::to_string(input.columns) + " columns: ";
  for (size_t s = 0; s < input.set_count; s++) {
    const ColumnSetRecord& set = input.sets[s];
    if (s > 0) text += "; ";
    if (set.kind != ColumnKind::all)
      text += std::to_string(set.count) + (set.kind == ColumnKind::list ? " listed " : " others ");
    text += quantizer_text(set);
  }
  if (input.smooth_state == SmoothState::folded) text += "; smoothing folded in before";
  if (input.smooth_state == SmoothState::apply) text += "; divided by a smoothing vector";
  return text;
}

std::vector<std::string> feature_words(const Head& head) {
  std::vector<std::string> words;
  if ((head.header.feature_incompat & kIncompatZstd) != 0) words.push_back("zstd sections");
  const auto named = head.meta["format"].find("features");
  if (named == head.meta["format"].end() || !named->is_array()) return words;
  for (const Json& word : *named) {
    const auto* text = word.get_ptr<const std::string*>();
    if (text != nullptr && std::find(words.begin(), words.end(), *text) == words.end())
      words.push_back(*text);
  }
  return words;
}

}  // namespace sqf

#include "converter/calibration/text.hpp"

#include <algorithm>
#include <cstdio>
#include <limits>
#include <optional>
#include <type_traits>

#include "format/hash.hpp"
#include "format/text.hpp"
#include "loader/mapping.hpp"
#include "model/json_fields.hpp"
#include "model/tokenizer.hpp"

namespace sqf {
namespace {

std::string hex(uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return text;
}

/// 16 lower-case digits, as hex() writes them.
bool read_hex(const std::string& text, uint64_t* value) {
  *value = 0;
  for (const char c : text) {
    const bool digit = c >= '0' && c <= '9';
    if (!digit && !(c >= 'a' && c <= 'f')) return false;
    *value = *value << 4 | static_cast<uint64_t>(digit ? c - '0' : c - 'a' + 10);
  }
  return text.size() == 16;
}

/// The chosen lines of `text`; fills in which they are.
std::string_view chosen_lines(std::string_view text, CalibrationText* about) {
  std::vector<size_t> starts = {0};
  for (size_t i = 0; i + 1 < text.size(); i++)
    if (text[i] == '\n') starts.push_back(i + 1);
  about->lines = static_cast<int64_t>(starts.size());
  about->first_line = about->lines * about->first_percent / 100;
  about->end_line = about->lines * about->last_percent / 100;
  starts.push_back(text.size());
  const size_t begin = starts[static_cast<size_t>(about->first_line)];
  return text.substr(begin, starts[static_cast<size_t>(about->end_line)] - begin);
}

Result<void> check(const CalibrationOptions& o) {
  if (o.first_percent < 0 || o.last_percent > 100 || o.first_percent >= o.last_percent)
    return usage_error(o.purpose + " lines " + std::to_string(o.first_percent) + ":" +
                       std::to_string(o.last_percent) + ": expected e.g. 0:60, in per cent");
  if (o.length < 1 || o.tokens < o.length)
    return usage_error(std::to_string(o.tokens) + " " + o.purpose +
                       " tokens are less than a window of " + std::to_string(o.length));
  return {};
}

}  // namespace

CalibrationTokens CalibrationTokens::thinned(int64_t count) const {
  CalibrationTokens out = *this;
  out.windows = std::clamp<int64_t>(count, 1, windows);
  out.ids.clear();
  for (int64_t w = 0; w < out.windows; w++) {
    const auto from = window(w * windows / out.windows);
    out.ids.insert(out.ids.end(), from.begin(), from.end());
  }
  return out;
}

Result<void> parse_lines(const std::string& words, CalibrationOptions* options) {
  int used = 0;
  if (words.size() > 7 ||
      std::sscanf(words.c_str(), "%3d:%3d%n", &options->first_percent, &options->last_percent,
                  &used) != 2 ||
      used != static_cast<int>(words.size()) || options->first_percent < 0 ||
      options->last_percent > 100 || options->first_percent >= options->last_percent)
    return usage_error("calibration lines " + in_quotes(words) +
                       ": expected e.g. 0:60, in per cent");
  return {};
}

Result<CalibrationTokens> calibration_tokens(const std::string& tokenizer_json,
                                             const std::string& text, const std::string& name,
                                             const CalibrationOptions& options) {
  if (auto r = check(options); !r) return r.error();
  const std::string where = options.purpose + " text " + in_quotes(name);
  if (text.empty()) return usage_error(where + " is empty");
  if (const auto at = find_invalid_utf8(text))
    return malformed(where + " is not UTF-8 at byte " + std::to_string(*at));
  if (tokenizer_json.empty())
    return usage_error("the model has no tokenizer.json, which " + options.purpose + " needs");
  auto tokenizer = Tokenizer::from_json(tokenizer_json);
  if (!tokenizer) return tokenizer.error();

  CalibrationTokens out;
  out.text.name = name;
  out.text.bytes = text.size();
  out.text.hash = hash_bytes(std::as_bytes(std::span(text)));
  out.text.first_percent = options.first_percent;
  out.text.last_percent = options.last_percent;
  auto ids = tokenizer->encode(chosen_lines(text, &out.text), false);
  if (!ids) return ids.error();
  out.text.tokens = static_cast<int64_t>(ids->size());
  out.length = options.length;
  const int64_t available = out.text.tokens / out.length;
  if (available == 0)
    return usage_error(where + " has " + std::to_string(out.text.tokens) + " tokens in lines " +
                       std::to_string(options.first_percent) + " % to " +
                       std::to_string(options.last_percent) + " %, a window takes " +
                       std::to_string(out.length));
  out.windows = std::min(options.tokens / out.length, available);
  out.ids.reserve(static_cast<size_t>(out.windows * out.length));
  for (int64_t w = 0; w < out.windows; w++) {
    const auto from = ids->begin() + w * available / out.windows * out.length;
    out.ids.insert(out.ids.end(), from, from + out.length);
  }
  return out;
}

Result<CalibrationTokens> read_calibration(const std::string& tokenizer_json,
                                           const std::filesystem::path& path,
                                           const CalibrationOptions& options) {
  auto file = Mapping::open(path);
  if (!file) return file.error();
  const auto bytes = file->bytes();
  const std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return calibration_tokens(tokenizer_json, text, path.filename().string(), options);
}

Json text_to_json(const CalibrationText& t) {
  // A file's name need not be UTF-8; JSON must be.
  const std::string name = is_utf8(t.name) ? t.name : in_quotes(t.name);
  return {{"name", name},
          {"bytes", t.bytes},
          {"xxh3", hex(t.hash)},
          {"percent", {t.first_percent, t.last_percent}},
          {"line_range", {t.first_line, t.end_line}},
          {"lines", t.lines},
          {"tokens", t.tokens}};
}

Result<CalibrationText> text_from_json(const Json& json) {
  const Field root = {&json, "text"};
  if (!json.is_object()) return wrong_type(root, "an object");
  CalibrationText t;
  std::optional<Error> problem;
  const auto keep = [&](const auto& result, auto* to) {
    if (!result && !problem) problem = result.error();
    if (result) *to = static_cast<std::remove_pointer_t<decltype(to)>>(*result);
  };
  const auto pair = [&](const char* key, auto* first, auto* second) {
    const auto range = array_at(root, key);
    const Json* both = range ? range->json : nullptr;
    const auto number = [&](size_t i) {
      return (*both)[i].is_number_integer() ? (*both)[i].get<int64_t>() : -1;
    };
    using To = std::remove_pointer_t<decltype(first)>;
    if (both == nullptr || both->size() != 2 || number(0) < 0 || number(1) < number(0) ||
        number(1) > std::numeric_limits<To>::max()) {
      if (!problem) problem = malformed(std::string("text.") + key + " is no range");
      return;
    }
    *first = static_cast<To>(number(0));
    *second = static_cast<To>(number(1));
  };
  keep(string_at(root, "name"), &t.name);
  const auto count = [&](const char* key, auto* to) {
    const auto number = integer_at(root, key);
    if (number && *number < 0 && !problem)
      problem = malformed(std::string("text.") + key + " is negative");
    keep(number, to);
  };
  count("bytes", &t.bytes);
  count("lines", &t.lines);
  count("tokens", &t.tokens);
  pair("percent", &t.first_percent, &t.last_percent);
  pair("line_range", &t.first_line, &t.end_line);
  const auto digits = string_at(root, "xxh3");
  if (!problem && !(digits && read_hex(*digits, &t.hash)))
    problem = malformed("text.xxh3 is no hash of 16 digits");
  if (problem) return *problem;
  return t;
}

}  // namespace sqf

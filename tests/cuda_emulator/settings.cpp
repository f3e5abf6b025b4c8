#include "tests/cuda_emulator/settings.hpp"

#include <charconv>
#include <sstream>
#include <string_view>

namespace sqf {
namespace {

bool parse_number(std::string_view text, int64_t least, int64_t most, int64_t& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && end == text.data() + text.size() && out >= least && out <= most;
}

bool parse_memory(std::string_view text, uint64_t& out) {
  int shift = 0;
  if (!text.empty()) {
    shift = text.back() == 'G' ? 30 : text.back() == 'M' ? 20 : text.back() == 'K' ? 10 : 0;
  }
  if (shift != 0) text.remove_suffix(1);
  int64_t value = 0;
  if (!parse_number(text, 1, int64_t{1} << (44 - shift), value)) return false;
  out = static_cast<uint64_t>(value) << shift;
  return true;
}

bool parse_capability(std::string_view text, int& out) {
  const size_t dot = text.find('.');
  int64_t major = 0, minor = 0;
  if (dot == std::string_view::npos || !parse_number(text.substr(0, dot), 5, 20, major) ||
      !parse_number(text.substr(dot + 1), 0, 9, minor)) {
    return false;
  }
  out = static_cast<int>(major * 10 + minor);
  return true;
}

template <class T>
bool parse_into(std::string_view text, int64_t least, int64_t most, T& out) {
  int64_t value = 0;
  if (!parse_number(text, least, most, value)) return false;
  out = static_cast<T>(value);
  return true;
}

bool parse_word(std::string_view key, std::string_view value, Settings& out) {
  if (key == "capability") return parse_capability(value, out.capability);
  if (key == "memory") return parse_memory(value, out.memory);
  if (key == "driver") return parse_into(value, 1000, 99999, out.driver);
  if (key == "devices") return parse_into(value, 0, 8, out.devices);
  if (key == "sms") return parse_into(value, 1, 1024, out.multiprocessors);
  if (key == "fail_alloc") return parse_into(value, 1, INT32_MAX, out.fail_alloc);
  if (key == "fail_launch") return parse_into(value, 1, INT32_MAX, out.fail_launch);
  if (key == "illegal") return parse_into(value, 1, INT32_MAX, out.illegal);
  if (key == "init") return parse_into(value, 1, 999, out.init);
  if (key == "seed") return parse_into(value, 0, INT32_MAX, out.seed);
  if (key == "limit") return parse_into(value, 1, INT64_MAX, out.limit);
  if (key == "threads") return parse_into(value, 1, 64, out.threads);
  if (key == "errors") {
    out.late_errors = value == "late";
    return out.late_errors || value == "now";
  }
  return false;
}

}  // namespace

std::string parse_settings(const char* text, Settings& settings) {
  settings = {};
  if (text == nullptr) return {};
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    const size_t equals = word.find('=');
    const std::string_view view = word;
    if (equals == std::string::npos ||
        !parse_word(view.substr(0, equals), view.substr(equals + 1), settings)) {
      return "SQF_EMULATOR: '" + word + "' is not understood";
    }
  }
  return {};
}

}  // namespace sqf

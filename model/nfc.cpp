// Canonical composition. utf8proc's own sorting of combining marks is quadratic in the length of a
// run of marks, so the runs are sorted here and the library only decomposes and composes.
#include <utf8proc.h>

#include <algorithm>
#include <iterator>

#include "format/text.hpp"
#include "model/unicode.hpp"

namespace sqf {
namespace {

// Marks with a combining class, and characters that compose, that Unicode 10 to 16 added. The
// reference tokenizers have the data of Unicode 9, where these are unassigned: they stay as they
// are and nothing moves or composes across them.
struct CodeRange {
  char32_t first, last;
};
constexpr CodeRange kSinceUnicode9[] = {
    {0x7FD, 0x7FD},     {0x897, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},
    {0xC3C, 0xC3C},     {0xD3B, 0xD3C},     {0xEBA, 0xEBA},     {0x1715, 0x1715},
    {0x1ABF, 0x1ACE},   {0x1DF6, 0x1DFA},   {0xA82C, 0xA82C},   {0x105C0, 0x105FF},
    {0x10D24, 0x10D27}, {0x10D40, 0x10D8F}, {0x10EAB, 0x10EAC}, {0x10EFC, 0x10EFF},
    {0x10F46, 0x10F50}, {0x10F82, 0x10F85}, {0x11070, 0x11070}, {0x1133B, 0x1133B},
    {0x11380, 0x113FF}, {0x1145E, 0x1145E}, {0x11839, 0x1183A}, {0x11930, 0x11930},
    {0x11938, 0x11938}, {0x1193D, 0x1193E}, {0x11943, 0x11943}, {0x119E0, 0x119E0},
    {0x11A34, 0x11A34}, {0x11A47, 0x11A47}, {0x11A99, 0x11A99}, {0x11D42, 0x11D42},
    {0x11D44, 0x11D45}, {0x11D97, 0x11D97}, {0x11F41, 0x11F42}, {0x16100, 0x1613F},
    {0x16D40, 0x16D7F}, {0x16FF0, 0x16FF1}, {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136},
    {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF}, {0x1E4EC, 0x1E4EF}, {0x1E5D0, 0x1E5FF},
};

bool is_newer_than_unicode9(char32_t code) {
  const auto* range =
      std::upper_bound(std::begin(kSinceUnicode9), std::end(kSinceUnicode9), code,
                       [](char32_t value, const CodeRange& r) { return value < r.first; });
  return range != std::begin(kSinceUnicode9) && code <= std::prev(range)->last;
}

int combining_class(utf8proc_int32_t code) {
  return utf8proc_get_property(code)->combining_class;
}

/// Puts each run of combining marks in order of class, marks of one class keeping theirs.
void sort_marks(std::vector<utf8proc_int32_t>& codes) {
  auto run = codes.begin();
  while (run != codes.end()) {
    if (combining_class(*run) == 0) {
      ++run;
      continue;
    }
    const auto end =
        std::find_if(run, codes.end(), [](auto code) { return combining_class(code) == 0; });
    std::stable_sort(run, end,
                     [](auto a, auto b) { return combining_class(a) < combining_class(b); });
    run = end;
  }
}

/// Composes what has gathered in `codes`, appends it to `out` and empties `codes`.
void flush(std::vector<utf8proc_int32_t>& codes, std::string& out) {
  sort_marks(codes);
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE);
  const auto n =
      utf8proc_normalize_utf32(codes.data(), static_cast<utf8proc_ssize_t>(codes.size()), options);
  for (utf8proc_ssize_t i = 0; i < n; ++i)
    append_utf8(out, static_cast<char32_t>(codes[static_cast<size_t>(i)]));
  codes.clear();
}

}  // namespace

std::string nfc(std::string_view text) {
  // Nothing below U+0300 moves, decomposes for good or composes with its like.
  if (std::all_of(text.begin(), text.end(), [](char c) { return static_cast<uint8_t>(c) < 0xCC; }))
    return std::string(text);
  std::string out;
  out.reserve(text.size());
  std::vector<utf8proc_int32_t> codes;
  size_t at = 0;
  while (at < text.size()) {
    const char32_t code = next_char(text, at);
    if (is_newer_than_unicode9(code)) {
      flush(codes, out);
      append_utf8(out, code);
      continue;
    }
    constexpr int kLongestDecomposition = 8;  // canonical ones have at most 4
    utf8proc_int32_t parts[kLongestDecomposition];
    int boundary = 0;
    const auto n = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(code), parts,
                                           kLongestDecomposition, UTF8PROC_DECOMPOSE, &boundary);
    codes.insert(codes.end(), parts,
                 parts + std::clamp<utf8proc_ssize_t>(n, 0, kLongestDecomposition));
  }
  flush(codes, out);
  return out;
}

}  // namespace sqf

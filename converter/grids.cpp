#include "converter/grids.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <vector>

#include "format/codes.hpp"

namespace sqf {
namespace {

// The names come back without group, scale and row factor of their own.
constexpr Element kAnyScale = Element::u8;

struct LevelRow {
  const char* name;
  std::vector<float> levels;
};

std::vector<LevelRow> level_rows() {
  return {
      {"binary", {-1, 1}},
      {"ternary", {-1, 0, 1}},
      {"five", {-2, -1, 0, 1, 2}},
      // The quantiles of a normal distribution that keep 0 and both ends: Dettmers et al., QLoRA,
      // arXiv:2305.14314, appendix E.
      {"nf4",
       {-1.0f, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f,
        -0.28444138169288635f, -0.18477343022823334f, -0.09105003625154495f, 0.0f,
        0.07958029955625534f, 0.16093020141124725f, 0.24611230194568634f, 0.33791524171829224f,
        0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1.0f}},
  };
}

NamedGrid level_row(std::string name, std::span<const float> levels) {
  NamedGrid grid = {std::move(name), levels_encoding(levels, 0, kAnyScale, false)};
  // Whole words of radix 3 and of radix 5: 20 and 12 columns.
  const uint32_t radix = grid.record.radices[0];
  if (radix == 3 || radix == 5) grid.group = 240;
  return grid;
}

NamedGrid minifloat_row(int exponent, int mantissa, MinifloatKind kind) {
  const std::string name = "e" + std::to_string(exponent) + "m" + std::to_string(mantissa);
  return {name + (kind == MinifloatKind::ocp ? "ocp" : ""),
          minifloat_encoding(exponent, mantissa, kind, 0, kAnyScale, false)};
}

std::vector<NamedGrid> all_grids() {
  std::vector<NamedGrid> grids(1);
  grids[0].name = "affine";
  grids[0].record.grid = Grid::affine;
  for (int bits = 3; bits <= 8; bits++)
    for (int exponent = 1; exponent < bits; exponent++)
      grids.push_back(minifloat_row(exponent, bits - 1 - exponent, MinifloatKind::saturating));
  for (const OcpFormat& row : kOcpFormats)
    grids.push_back(minifloat_row(row.exponent_bits, row.mantissa_bits, MinifloatKind::ocp));
  for (const LevelRow& row : level_rows()) grids.push_back(level_row(row.name, row.levels));
  return grids;
}

constexpr std::string_view kLevels = "levels:";

/// "-1/0/1" to numbers; nothing where it is no ascending table.
std::vector<float> parse_levels(std::string_view text) {
  std::vector<float> levels;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (levels.size() <= kMaxLevels) {
    float level = 0;
    const auto [next, error] = std::from_chars(at, end, level);
    if (error != std::errc() || !std::isfinite(level)) return {};
    if (!levels.empty() && !(level > levels.back())) return {};
    levels.push_back(level == 0 ? 0 : level);  // no -0
    if (next == end) return levels;
    if (*next != '/') return {};
    at = next + 1;
  }
  return {};
}

}  // namespace

std::span<const NamedGrid> named_grids() {
  static const std::vector<NamedGrid> grids = all_grids();
  return grids;
}

Result<NamedGrid> find_grid(std::string_view name) {
  for (const NamedGrid& grid : named_grids())
    if (grid.name == name) return grid;
  const std::string word = "\"grid=" + std::string(name) + "\"";
  if (!name.starts_with(kLevels))
    return usage_error(word +
                       " is no grid (affine, eEmM of 3 to 8 bits, e5m2ocp, e4m3ocp, e3m2ocp, "
                       "e2m3ocp, e2m1ocp, binary, ternary, five, nf4, levels:a/b/c)");
  const std::vector<float> levels = parse_levels(name.substr(kLevels.size()));
  if (levels.size() < 2 || levels.size() > kMaxLevels)
    return usage_error(word + ": expected 2 to 16 finite numbers, ascending, '/' between them");
  return level_row(std::string(name), levels);
}

}  // namespace sqf

#include "converter/quant_spec.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <map>

namespace sqf {
namespace {

struct Word {
  const char* name;
  int value;
};
constexpr Word kScales[] = {
    {"f32", static_cast<int>(Element::f32)},   {"f16", static_cast<int>(Element::f16)},
    {"bf16", static_cast<int>(Element::bf16)}, {"u8", static_cast<int>(Element::u8)},
    {"e4m3", static_cast<int>(Element::e4m3)}, {"e8m0", static_cast<int>(Element::e8m0)}};
constexpr Word kZeros[] = {{"constant", static_cast<int>(ZeroKind::constant)},
                           {"u4", static_cast<int>(ZeroKind::u4)},
                           {"u8", static_cast<int>(ZeroKind::u8)},
                           {"minimum", static_cast<int>(ZeroKind::minimum_f16)}};
constexpr Word kRanges[] = {{"minmax", static_cast<int>(Range::minmax)},
                            {"search", static_cast<int>(Range::search)},
                            {"clip", static_cast<int>(Range::clip)}};
constexpr Word kPlanes[] = {{"widest", static_cast<int>(Planes::widest)},
                            {"bit", static_cast<int>(Planes::bit)}};
constexpr Word kFactors[] = {{"none", 0}, {"row", 1}};
constexpr Word kRoundings[] = {{"nearest", static_cast<int>(Method::rtn)},
                               {"gptq", static_cast<int>(Method::gptq)}};

template <size_t N>
std::optional<int> find_word(const Word (&words)[N], std::string_view name) {
  for (const Word& word : words)
    if (name == word.name) return word.value;
  return std::nullopt;
}

std::optional<int> parse_number(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string setting(const std::string& key, const std::string& value) {
  return "\"" + key + "=" + value + "\"";
}

/// False: `value` is none that `key` can take.
bool set_number(const std::string& key, const std::string& value, QuantSpec& spec) {
  const int number = parse_number(value).value_or(-1);
  if (key == "bits") {
    spec.bits = number;
    return number >= 1 && number <= 8;
  }
  if (key == "lorc") {
    spec.rank = number;
    return number >= 0;
  }
  spec.group = value == "row" ? 0 : static_cast<uint32_t>(number);
  return value == "row" || number > 0;
}

/// A share from 0 to 1/2, as "0.0625" or "1/16".
std::optional<double> parse_share(std::string_view text) {
  double parts[2] = {0, 1};
  const size_t slash = text.find('/');
  const std::string_view words[2] = {text.substr(0, slash),
                                     slash == text.npos ? "1" : text.substr(slash + 1)};
  for (size_t i = 0; i < 2; i++) {
    const std::string_view w = words[i];
    const auto [end, error] = std::from_chars(w.data(), w.data() + w.size(), parts[i]);
    if (error != std::errc() || end != w.data() + w.size()) return std::nullopt;
  }
  const double share = parts[0] / parts[1];
  if (!(share >= 0 && share <= 0.5)) return std::nullopt;
  return share;
}

bool set_word(const std::string& key, const std::string& value, QuantSpec& spec) {
  std::optional<int> found;
  if (key == "scale" && (found = find_word(kScales, value)))
    spec.scale = static_cast<Element>(*found);
  if (key == "factor" && (found = find_word(kFactors, value))) spec.row_factor = *found != 0;
  if (key == "zero" && (found = find_word(kZeros, value)))
    spec.zero = static_cast<ZeroKind>(*found);
  if (key == "planes" && (found = find_word(kPlanes, value)))
    spec.planes = static_cast<Planes>(*found);
  if (key == "range" && (found = find_word(kRanges, value)))
    spec.range = static_cast<Range>(*found);
  if (key == "round" && (found = find_word(kRoundings, value)))
    spec.method = static_cast<Method>(*found);
  return found.has_value();
}

Result<void> apply_word(const std::string& key, const std::string& value, QuantSpec& spec) {
  if (key == "grid") {
    auto grid = find_grid(value);
    if (!grid) return grid.error();
    spec.grid = *grid;
    return {};
  }
  if (key == "act") {
    auto activation = parse_activation(value);
    if (!activation) return activation.error();
    spec.activation = *activation;
    return {};
  }
  if (key == "outliers") {
    const auto share = parse_share(value);
    if (!share) return usage_error(setting(key, value) + " is no share of the columns up to 1/2");
    spec.outliers = *share;
    return {};
  }
  const bool number = key == "bits" || key == "group" || key == "lorc";
  if (number ? set_number(key, value, spec) : set_word(key, value, spec)) return {};
  return usage_error(setting(key, value) + " is no setting of an encoding");
}

/// Words that were named and that the grid, named now or before, cannot follow.
Result<void> check_grid(const std::map<std::string, std::string>& named, const QuantSpec& spec) {
  const EncodingRecord& grid = spec.grid.record;
  const auto word = [&](const char* key) { return setting(key, named.at(key)); };
  const uint32_t codes = code_count(grid);
  const bool whole_bits = std::has_single_bit(codes);
  if (named.contains("planes") && spec.planes == Planes::bit && !whole_bits)
    return usage_error(word("planes") + " on grid " + spec.grid.name + ", whose " +
                       std::to_string(codes) + " codes are no whole bits");
  if (grid.grid == Grid::affine) return {};
  if (named.contains("zero"))
    return usage_error(word("zero") + " on grid " + spec.grid.name + ", which has no zero points");
  if (named.contains("bits") && codes != 1u << spec.bits)
    return usage_error(word("bits") + " disagrees with grid " + spec.grid.name + ", which has " +
                       std::to_string(codes) + " codes");
  return {};
}

void split_into_bits(EncodingRecord* e) {
  e->plane_count = static_cast<uint8_t>(code_bits(*e));
  for (size_t i = 0; i < e->plane_count; i++) e->radices[i] = 2;
}

}  // namespace

Result<ActivationSpec> parse_activation(const std::string& words) {
  const auto wrong = [&](const std::string& why) {
    return usage_error("\"act=" + words + "\"" + why);
  };
  ActivationSpec spec;
  const size_t colon = std::min(words.find(':'), words.size());
  const std::string kind = words.substr(0, colon);
  if (kind == "none" && colon == words.size()) return spec;
  if (kind.starts_with("int")) {
    const int bits = parse_number(std::string_view(kind).substr(3)).value_or(0);
    if (bits < 2 || bits > 8) return wrong(": integers have 2 to 8 bits");
    spec.kind = QuantizerKind::integer;
    spec.bits = static_cast<uint8_t>(bits);
  } else {
    const auto grid = find_grid(kind);
    if (!grid || grid->record.grid != Grid::minifloat ||
        grid->record.minifloat != MinifloatKind::saturating || grid->record.exponent_bits == 0)
      return wrong(" is no activation: none, intN, eEmM, with :asym, :tensor, :static behind intN");
    spec.kind = QuantizerKind::minifloat;
    spec.exponent_bits = grid->record.exponent_bits;
    spec.mantissa_bits = grid->record.mantissa_bits;
  }
  for (size_t at = colon; at < words.size();) {
    const size_t end = std::min(words.find(':', at + 1), words.size());
    const std::string word = words.substr(at + 1, end - at - 1);
    if (word == "asym" && spec.kind == QuantizerKind::integer)
      spec.asymmetric = true;
    else if (word == "tensor")
      spec.per_tensor = true;
    else if (word == "static")
      spec.per_tensor = spec.is_static = true;
    else
      return wrong(": \"" + word + "\" is no property of " + kind);
    at = end;
  }
  if (spec.is_static && spec.asymmetric) return wrong(": static scales are symmetric");
  return spec;
}

std::string activation_name(const ActivationSpec& a) {
  if (a.kind == QuantizerKind::none) return "none";
  std::string name = a.kind == QuantizerKind::integer ? "int" + std::to_string(a.bits)
                                                      : "e" + std::to_string(a.exponent_bits) +
                                                            "m" + std::to_string(a.mantissa_bits);
  if (a.asymmetric) name += ":asym";
  if (a.is_static) return name + ":static";
  return a.per_tensor ? name + ":tensor" : name;
}

ColumnSetRecord set_record(const ActivationSpec& a) {
  ColumnSetRecord set = {};
  set.quantizer = a.kind;
  set.bits = a.bits;
  set.per_tensor = a.per_tensor;
  set.asymmetric = a.asymmetric;
  set.is_static = a.is_static;
  set.exponent_bits = a.exponent_bits;
  set.mantissa_bits = a.mantissa_bits;
  return set;
}

const char* method_name(Method method) {
  constexpr const char* kNames[] = {"none", "rtn", "gptq", "keep"};
  return kNames[static_cast<size_t>(method)];
}

bool is_coded(Method method) {
  return method == Method::rtn || method == Method::gptq;
}

const char* range_name(Range range) {
  for (const Word& word : kRanges)
    if (word.value == static_cast<int>(range)) return word.name;
  return "";
}

EncodingRecord QuantSpec::encoding() const {
  const bool byte_scale = scale == Element::u8 || scale == Element::e4m3 || scale == Element::e8m0;
  const ZeroKind kind = zero != ZeroKind::none ? zero : bits <= 4 ? ZeroKind::u4 : ZeroKind::u8;
  EncodingRecord e = grid.record;
  if (e.grid == Grid::affine) e = affine_encoding(bits, 0, scale, false, kind);
  e.group = group.value_or(grid.group);
  e.scale_type = scale;
  e.row_factor = row_factor.value_or(byte_scale) ? 1 : 0;
  if (planes == Planes::bit && std::has_single_bit(code_count(e))) split_into_bits(&e);
  return e;
}

Result<QuantSpec> parse_spec(const std::string& text, QuantSpec spec) {
  if (text == "none" || text == "keep") {
    spec.method = text == "none" ? Method::none : Method::keep;
    return spec;
  }
  if (spec.method == Method::none || spec.method == Method::keep) spec.method = Method::rtn;
  std::map<std::string, std::string> named;
  for (size_t at = 0; at <= text.size();) {
    const size_t comma = std::min(text.find(',', at), text.size());
    const std::string word = text.substr(at, comma - at);
    const size_t equals = word.find('=');
    if (equals == std::string::npos)
      return usage_error("\"" + word +
                         "\" is no setting of an encoding (bits=, grid=, group=, scale=, factor=, "
                         "zero=, planes=, range=, round=, act=, outliers=, lorc=)");
    const std::string key = word.substr(0, equals), value = word.substr(equals + 1);
    if (auto r = apply_word(key, value, spec); !r) return r.error();
    named[key] = value;
    at = comma + 1;
  }
  if (auto r = check_grid(named, spec); !r) return r.error();
  return spec;
}

Result<EncodingRule> parse_rule(const std::string& text) {
  // Both sides may hold '=': the split is the first one with a specification behind it.
  for (size_t cut = text.find('='); cut != std::string::npos; cut = text.find('=', cut + 1))
    if (cut > 0 && parse_spec(text.substr(cut + 1), {}))
      return EncodingRule{text.substr(0, cut), text.substr(cut + 1)};
  return usage_error("--rule \"" + text + "\": expected REGEX=SPEC, e.g. 'down_proj=bits=6'");
}

}  // namespace sqf

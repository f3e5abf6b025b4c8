#pragma once
// What a user asks for one tensor, in words: "bits=3,group=64", "grid=nf4,scale=f16", "none".
// Refuses words that it does not know and words that contradict each other, by name; whether the
// encoding exists at all is encoding_problem()'s to say.

#include <optional>
#include <string>

#include "converter/encode.hpp"
#include "converter/grids.hpp"

namespace sqf {

enum class Method : uint8_t {
  none,  ///< values as they are
  rtn,   ///< round to nearest: each weight by itself
  gptq,  ///< each error is spread over the columns that come after
  keep,  ///< codes of an already quantized input, carried over
};
const char* method_name(Method method);
bool is_coded(Method method);  ///< rounded to codes, whichever way
const char* range_name(Range range);

/// How the bits of a code are spread over planes.
enum class Planes : uint8_t {
  widest,  ///< few planes, widest radix first
  bit,     ///< one plane a bit: what bit-serial kernels read
};

/// What is done to an activation before it is multiplied (spec/sqf.md, 3.2).
struct ActivationSpec {
  QuantizerKind kind = QuantizerKind::none;
  uint8_t bits = 0;                              ///< integer: 2 to 8
  uint8_t exponent_bits = 0, mantissa_bits = 0;  ///< minifloat
  bool asymmetric = false, per_tensor = false, is_static = false;

  bool operator==(const ActivationSpec&) const = default;
};
/// "none", "int8", "int4:asym", "int8:tensor", "int8:static", "e4m3". Errors: usage.
Result<ActivationSpec> parse_activation(const std::string& words);
std::string activation_name(const ActivationSpec& activation);
/// The quantizer of a column set whose columns, and static scale, are the caller's to set.
ColumnSetRecord set_record(const ActivationSpec& activation);

/// The encoding that rules and options ask for; unset fields take the defaults of grid and width.
struct QuantSpec {
  Method method = Method::rtn;
  NamedGrid grid = named_grids()[0];
  int bits = 4;                                  ///< of the affine grid; others bring their own
  std::optional<uint32_t> group = std::nullopt;  ///< 0: the whole row; none: the grid's own
  Element scale = Element::u8;
  std::optional<bool> row_factor = std::nullopt;  ///< none: with scales of one byte
  ZeroKind zero = ZeroKind::none;  ///< none: u4 up to 4 bits, u8 above; affine alone has one
  Planes planes = Planes::widest;
  Range range = Range::search;
  ActivationSpec activation = {};  ///< of what the tensor reads
  double outliers = 0;             ///< share of the columns that stay in f16
  int64_t rank = 0;                ///< of a low-rank pair that makes up for the error; 0: none

  EncodingRecord encoding() const;
};

/// "bits=8,group=64,scale=f16,zero=constant,range=minmax", "round=gptq,act=int4:asym,
/// outliers=0.0625,lorc=8", "none" or "keep": what is named is changed in `base`. Named together
/// with a grid, bits must be that grid's own, and a zero point or bit planes something it can have.
/// Errors: usage, naming the word.
Result<QuantSpec> parse_spec(const std::string& text, QuantSpec base);

struct EncodingRule {
  std::string pattern;  ///< ECMAScript regular expression, searched in the tensor's name
  std::string spec;
};

/// Splits "REGEX=SPEC". Errors: usage.
Result<EncodingRule> parse_rule(const std::string& text);

}  // namespace sqf

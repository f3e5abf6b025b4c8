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
  rtn,   ///< round to nearest
  keep,  ///< codes of an already quantized input, carried over
};
const char* method_name(Method method);

/// How the bits of a code are spread over planes.
enum class Planes : uint8_t {
  widest,  ///< few planes, widest radix first
  bit,     ///< one plane a bit: what bit-serial kernels read
};

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

  EncodingRecord encoding() const;
};

/// "bits=8,group=64,scale=f16,zero=constant,range=minmax", "none" or "keep": what is named is
/// changed in `base`. Named together with a grid, bits must be that grid's own, and a zero point
/// or bit planes something it can have. Errors: usage, naming the word.
Result<QuantSpec> parse_spec(const std::string& text, QuantSpec base);

struct EncodingRule {
  std::string pattern;  ///< ECMAScript regular expression, searched in the tensor's name
  std::string spec;
};

/// Splits "REGEX=SPEC". Errors: usage.
Result<EncodingRule> parse_rule(const std::string& text);

}  // namespace sqf

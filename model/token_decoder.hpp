#pragma once
// From token text back to bytes: ByteLevel, Metaspace, and the sequence Replace, ByteFallback,
// Fuse, Strip in that order, of which any may be absent. Other decoders, and other orders, are
// refused by name.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "format/result.hpp"
#include "model/json_fields.hpp"

namespace sqf {

class TokenDecoder {
 public:
  /// A null field is refused: joining tokens with spaces is what it would mean.
  static Result<TokenDecoder> from_json(const Field& component);

  /// The bytes of one token.
  std::string bytes(std::string_view token) const;

  /// The bytes of the token with which a text begins; differs for Metaspace, which drops the
  /// space that stands before the first word.
  std::string first_bytes(std::string_view token) const;

  /// What Strip takes off the front of a whole text: up to n_strip() times strip_content().
  std::string_view strip_content() const { return strip_content_; }
  int n_strip() const { return n_strip_; }

 private:
  Result<void> add(const Field& component, bool alone, int depth);
  Result<void> add_replace(const Field& component);
  Result<void> add_strip(const Field& component);

  bool byte_level_ = false;
  bool byte_fallback_ = false;
  bool fused_ = false;
  std::string metaspace_;  ///< what stands for a space; empty without Metaspace
  bool drops_first_ = false;
  std::vector<std::pair<std::string, std::string>> replacements_;
  std::string strip_content_;
  int n_strip_ = 0;
};

}  // namespace sqf

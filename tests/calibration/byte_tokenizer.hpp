#pragma once
// A tokenizer.json by which every ASCII character is a token whose id is its code, and "<end>" is
// a special token.

#include <string>

#include "format/json.hpp"
#include "format/text.hpp"

namespace sqf {

inline std::string byte_tokenizer() {
  Json vocabulary;
  // The letters that stand for bytes in a byte-level vocabulary: those that can be seen stand for
  // themselves, all others for U+0100 and on.
  char32_t next = 0x100;
  for (char32_t byte = 0; byte < 256; byte++) {
    const bool seen = (byte >= 33 && byte < 127) || (byte >= 161 && byte != 173);
    std::string letter;
    append_utf8(letter, seen ? byte : next++);
    vocabulary[letter] = static_cast<int>(byte);
  }
  const Json level = {{"type", "ByteLevel"},
                      {"add_prefix_space", false},
                      {"trim_offsets", true},
                      {"use_regex", true}};
  const Json end = {
      {"id", 256},       {"content", "<end>"}, {"special", true},    {"single_word", false},
      {"lstrip", false}, {"rstrip", false},    {"normalized", false}};
  const Json tokenizer = {{"version", "1.0"},
                          {"truncation", nullptr},
                          {"padding", nullptr},
                          {"added_tokens", Json::array({end})},
                          {"normalizer", nullptr},
                          {"pre_tokenizer", level},
                          {"post_processor", nullptr},
                          {"decoder", level},
                          {"model",
                           {{"type", "BPE"},
                            {"dropout", nullptr},
                            {"unk_token", nullptr},
                            {"continuing_subword_prefix", nullptr},
                            {"end_of_word_suffix", nullptr},
                            {"fuse_unk", false},
                            {"byte_fallback", false},
                            {"ignore_merges", false},
                            {"vocab", vocabulary},
                            {"merges", Json::array()}}}};
  return tokenizer.dump();
}

}  // namespace sqf

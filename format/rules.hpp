#pragma once
// Every validity rule of the format: its stable number, and the sentence spec/rules.md gives it.
// A number is never reused. Errors carry the number; messages add what was found and where.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "format/result.hpp"

namespace sqf {

enum class Rule : uint16_t {
  too_short = 101,
  foreign_format = 102,
  mangled_magic = 103,
  incomplete = 104,
  header_hash = 105,
  major_version = 106,
  unknown_incompat = 107,
  header_field = 108,
  header_reserved = 109,
  file_size = 110,

  section_count = 201,
  section_table_hash = 202,
  section_place = 203,
  section_kind = 204,
  section_missing = 205,
  section_size = 206,
  section_flags = 207,
  section_hash = 208,
  head_size = 209,
  head_padding = 210,

  meta_json = 301,
  meta_field = 302,
  text_encoding = 303,
  zstd_frame = 304,
  test_vector_size = 305,
  test_vector_value = 306,

  directory_size = 401,
  encoding_record = 402,
  input_record = 403,
  tensor_name = 404,
  tensor_order = 405,
  tensor_shape = 406,
  tensor_record = 407,
  part_record = 408,
  component_index = 409,
  component_shape = 410,
  component_place = 411,
  unreferenced = 412,
  directory_reserved = 413,

  leaf_count = 501,
  leaf_hash = 502,
  component_hash = 503,
  data_padding = 504,

  code_padding = 601,
  digit_string = 602,
  scale_value = 603,
  real_value = 604,
  column_list = 605,
  row_sum = 606,
  smoothing_value = 607,

  model_description = 701,
  model_tensor = 702,
  model_tokenizer = 703,
  compiled_tokenizer = 704,
};

struct RuleText {
  Rule rule;
  const char* text;
};

/// All rules, ascending by number.
std::span<const RuleText> rules();
std::string_view rule_text(Rule rule);

/// "R203 sections stand in order without gaps: META at 4160, expected 4096".
Error broken(Rule rule, const std::string& found);

}  // namespace sqf

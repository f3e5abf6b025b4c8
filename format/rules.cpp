#include "format/rules.hpp"

#include <algorithm>

namespace sqf {
namespace {

constexpr RuleText kRules[] = {
    {Rule::too_short, "a file holds at least the 256-byte header"},
    {Rule::foreign_format, "a file starts with the magic of SQF"},
    {Rule::mangled_magic, "the magic is intact"},
    {Rule::incomplete, "the completion marker is present: the writer finished"},
    {Rule::header_hash, "the header's hash matches its bytes"},
    {Rule::major_version, "the major version is one the reader knows"},
    {Rule::unknown_incompat, "no incompatible feature is unknown"},
    {Rule::header_field, "header fields have their fixed values or lie in their ranges"},
    {Rule::header_reserved, "reserved bytes of the header are zero"},
    {Rule::file_size, "the file has the size that the header states"},
    {Rule::section_count, "there are 4 to 60 sections"},
    {Rule::section_table_hash, "the section table's hash matches its bytes"},
    {Rule::section_place, "sections stand in order, aligned, without gaps; DATA is last"},
    {Rule::section_kind,
     "no section kind repeats, the required ones are critical, and no critical one is unknown"},
    {Rule::section_missing, "META, TDIR, CHKS and DATA are present"},
    {Rule::section_size, "raw and stored size and hash agree, and lie within their limits"},
    {Rule::section_flags, "section flags and codec are known, and allowed for the kind"},
    {Rule::section_hash, "a section's hash matches its bytes"},
    {Rule::head_size, "head_size is the end of the last section before DATA"},
    {Rule::head_padding, "bytes between sections are zero"},
    {Rule::meta_json, "META and CALB are each one strict JSON object"},
    {Rule::meta_field, "META has its required members, of their types"},
    {Rule::text_encoding, "text sections are UTF-8 and within their limits"},
    {Rule::zstd_frame,
     "a compressed section is one zstd frame of its raw size, with a window of at most 8 MiB"},
    {Rule::test_vector_size,
     "ENCV has the size that one test vector per encoding implies, and zeros between"},
    {Rule::test_vector_value, "each test vector decodes to the values stored with it"},
    {Rule::directory_size, "TDIR has the size that its counts and record sizes imply"},
    {Rule::encoding_record, "an encoding record describes one meaning of bits"},
    {Rule::input_record, "an input record's column sets cover its columns once"},
    {Rule::tensor_name, "a name is 1 to 255 bytes of UTF-8 without control characters"},
    {Rule::tensor_order, "tensors are sorted by name, and no name repeats"},
    {Rule::tensor_shape, "a shape has 1 to 3 dimensions, none zero, no overflow"},
    {Rule::tensor_record, "a tensor's record agrees with its input record and its parts"},
    {Rule::part_record, "a part names an encoding, a column set and the components these need"},
    {Rule::component_index, "a component index exists and is used exactly once"},
    {Rule::component_shape, "a component has the type, packing, shape and size its use implies"},
    {Rule::component_place, "components stand in order in DATA, aligned, without gaps"},
    {Rule::unreferenced, "every record and every byte of the name pool is used"},
    {Rule::directory_reserved, "reserved fields of the directory are zero"},
    {Rule::leaf_count, "CHKS holds one hash for each chunk of DATA"},
    {Rule::leaf_hash, "the hash of each chunk of DATA matches its bytes"},
    {Rule::component_hash, "the hash of each component matches its bytes"},
    {Rule::data_padding, "bytes between components are zero"},
    {Rule::code_padding, "codes, scales and values of padding rows and columns are zero"},
    {Rule::digit_string, "each byte of a plane is a valid digit string, and each code has a value"},
    {Rule::scale_value, "scales, row factors, minimums and column factors are finite"},
    {Rule::real_value, "stored values are finite"},
    {Rule::column_list,
     "a column list ascends, within the input's columns, and no two lists share a column"},
    {Rule::row_sum, "row sums are the sums of their codes' integer levels"},
    {Rule::smoothing_value, "smoothing values are finite and not zero"},
    {Rule::model_description, "the model's description is complete and consistent"},
    {Rule::model_tensor, "the tensors are those that the model's description asks for"},
    {Rule::model_tokenizer, "the tokenizer is readable and fits the model"},
    {Rule::compiled_tokenizer, "TOKB is what compiling TOKN gives"},
};

}  // namespace

std::span<const RuleText> rules() {
  return kRules;
}

std::string_view rule_text(Rule rule) {
  const auto* found =
      std::find_if(std::begin(kRules), std::end(kRules), [&](auto& r) { return r.rule == rule; });
  return found == std::end(kRules) ? "" : found->text;
}

Error broken(Rule rule, const std::string& found) {
  const auto number = static_cast<uint16_t>(rule);
  const Code code = rule == Rule::major_version || rule == Rule::unknown_incompat
                        ? Code::unsupported
                        : Code::malformed;
  return {code, "R" + std::to_string(number) + " " + std::string(rule_text(rule)) + ": " + found,
          number};
}

}  // namespace sqf

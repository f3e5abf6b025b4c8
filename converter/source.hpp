#pragma once
// A model as it comes from outside: one .safetensors file, a Hugging Face folder (whole or
// sharded) or a GGUF v3 file, all seen the same way: Hugging Face tensor names and config words,
// weights as views into mappings. What a file is, is decided by its first bytes, not by its name.
// Refuses, with what was found and where: other formats, damaged or inconsistent files, element
// types and architectures that cannot be converted. Nothing is copied or decoded when opening.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "format/json.hpp"
#include "format/result.hpp"
#include "loader/mapping.hpp"

namespace sqf {

/// Plain numbers, then GGUF's block types (gguf_blocks.hpp): 32 or 256 consecutive columns each.
enum class SourceType : uint8_t {
  f32,
  f16,
  bf16,
  q4_0,
  q4_1,
  q5_0,
  q5_1,
  q8_0,
  q2_K,
  q3_K,
  q4_K,
  q5_K,
  q6_K,
  iq4_nl,
  iq4_xs,
};
inline constexpr int kPlainSourceTypes = 3, kSourceTypes = 15;

std::string_view source_type_name(SourceType type);
bool is_block(SourceType type);
int64_t block_columns(SourceType type);  ///< 1 of plain types
int64_t block_bytes(SourceType type);

struct SourceTensor {
  std::string name;  ///< Hugging Face name, e.g. model.layers.0.self_attn.q_proj.weight
  SourceType type = SourceType::f32;
  std::vector<int64_t> shape;        ///< outermost first; rank 1 to 3, no dimension 0
  std::span<const std::byte> bytes;  ///< row-major, possibly unaligned; held by SourceModel
  int64_t rotary_heads = 0;          ///< > 0: the two halves of each of these heads lie interleaved
};

/// A vector is one row; rank 3 is its matrices one after another.
int64_t row_count(const SourceTensor& tensor);
int64_t column_count(const SourceTensor& tensor);

/// Where row `row` in Hugging Face order lies in `bytes`. The identity unless rotary_heads > 0.
int64_t stored_row(const SourceTensor& tensor, int64_t row);

/// Bytes of one row in Hugging Face order. A vector with rotary_heads comes as it is stored:
/// only read_rows puts its elements in order.
std::span<const std::byte> row_bytes(const SourceTensor& tensor, int64_t row);

/// Decodes rows [row, row + count), Hugging Face order, to f32 `out` [count, columns]. Each step
/// of a block type's formula is rounded to f32. Safe from any thread. Precondition (assert): the
/// rows exist.
void read_rows(const SourceTensor& tensor, int64_t row, int64_t count, float* out);

struct SourceFile {
  std::string name;  ///< without folder
  uint64_t size = 0;
};

/// Move-only; the tensors' views live as long as it does.
struct SourceModel {
  Json config;                        ///< config.json, or the same words made from GGUF metadata
  std::string config_text;            ///< verbatim; empty for GGUF
  std::string tokenizer_json;         ///< verbatim, or made from GGUF fields; empty when absent
  std::string chat_template;          ///< Jinja; may be empty
  std::string licence;                ///< text of the licence file beside the weights; may be empty
  Json tokenizer_config;              ///< null when absent; from GGUF the special tokens
  Json generation_config;             ///< null when absent; from GGUF bos_token_id and eos_token_id
  std::vector<SourceTensor> tensors;  ///< sorted by name, names distinct
  std::vector<SourceFile> files;      ///< every file read, weights first
  std::vector<Mapping> mappings;
};

/// Opens a .safetensors file (with config.json beside it), a Hugging Face folder or a GGUF file.
/// Time and memory go with the headers, not with the weights. Errors: io (cannot read),
/// malformed, unsupported, usage (one shard given instead of its folder).
Result<SourceModel> open_source(const std::filesystem::path& path);

}  // namespace sqf

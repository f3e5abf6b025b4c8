#pragma once
// A GGUF file of the architectures Llama, Qwen2 and Qwen3 in Hugging Face's words: config, tensor
// names, the order of rotary rows (of Llama, GGUF interleaves the halves of each head). Refuses
// other architectures, tensors it does not know by name, and what would change the mathematics
// without a word for it here: per-layer head counts, experts, partial rotary embedding, yarn,
// factors of frequencies that are not Llama 3's.

#include <filesystem>
#include <string_view>

#include "converter/gguf.hpp"
#include "converter/source.hpp"
#include "format/result.hpp"

namespace sqf {

/// Makes the model out of the GGUF file mapped at `mapping`, of which `path` is only the name.
Result<SourceModel> open_gguf(const std::filesystem::path& path, Mapping mapping);

/// config.json's words for the file, without token ids.
Result<Json> gguf_config(const GgufFile& file, std::string_view what);

/// Tensors under Hugging Face names, sorted. `config` is what gguf_config returned.
Result<std::vector<SourceTensor>> gguf_tensors(const GgufFile& file, const Json& config,
                                               std::string_view what);

}  // namespace sqf

#pragma once
// A Hugging Face model folder: config.json, weights in model.safetensors or in the shards that
// model.safetensors.index.json names, tokenizer and chat template. Refuses shards that leave the
// folder, are missing, or do not hold exactly the tensors the index says. Other files are ignored.

#include <filesystem>

#include "converter/source.hpp"
#include "format/result.hpp"

namespace sqf {

/// Where both a whole model.safetensors and an index exist, the whole file is taken, as
/// transformers does.
Result<SourceModel> open_hf_folder(const std::filesystem::path& folder);

/// One .safetensors file that holds a whole model, with config.json and the rest beside it. A
/// file that the index beside it lists among others is refused as usage.
Result<SourceModel> open_hf_file(const std::filesystem::path& file);

}  // namespace sqf

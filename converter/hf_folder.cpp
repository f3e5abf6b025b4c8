#include "converter/hf_folder.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>

#include "converter/file_kind.hpp"
#include "converter/safetensors.hpp"
#include "format/text.hpp"

namespace sqf {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kWhole = "model.safetensors";
constexpr std::string_view kIndex = "model.safetensors.index.json";
constexpr size_t kMaxTextBytes = size_t{256} << 20;
constexpr size_t kMaxShards = 10'000;

/// Tensor names by shard file, both sorted.
using Shards = std::map<std::string, std::vector<std::string>>;

bool present(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

/// Whole text of a small file beside the weights, noted in `model`; nothing where there is none.
Result<std::optional<std::string>> read_text(const fs::path& path, SourceModel& model) {
  if (!present(path)) return std::optional<std::string>();
  Result<Mapping> mapping = Mapping::open(path);
  if (!mapping) return mapping.error();
  const std::span<const std::byte> bytes = mapping->bytes();
  if (bytes.size() > kMaxTextBytes)
    return malformed(path.string() + ": " + std::to_string(bytes.size()) +
                     " bytes, over the limit of " + std::to_string(kMaxTextBytes));
  std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.starts_with("version https://git-lfs"))
    return malformed(path.string() + ": " + guess_file(bytes).words);
  model.files.push_back({path.filename().string(), bytes.size()});
  return std::optional<std::string>(std::move(text));
}

/// A JSON object beside the weights; null where there is no such file.
Result<Json> read_object(const fs::path& path, SourceModel& model, std::string* verbatim) {
  Result<std::optional<std::string>> text = read_text(path, model);
  if (!text) return text.error();
  if (!text->has_value()) return Json();
  Result<Json> json = parse_json(**text, path.string());
  if (!json) return json.error();
  if (!json->is_object())
    return malformed(path.string() + ": holds " + json->type_name() +
                     " where an object is expected");
  if (verbatim != nullptr) *verbatim = **std::move(text);
  return json;
}

/// The template in tokenizer_config.json: a string, or a list of which "default" is taken.
Result<std::string> template_of(const Json& tokenizer_config, const std::string& where) {
  const auto found = tokenizer_config.find("chat_template");
  if (found == tokenizer_config.end() || found->is_null()) return std::string();
  if (found->is_string()) return found->get<std::string>();
  const Error wrong = malformed(
      where + ": chat_template is neither a string nor a list of {\"name\", \"template\"}");
  if (!found->is_array()) return wrong;
  std::string chosen;
  for (const Json& entry : *found) {
    if (!entry.is_object()) return wrong;
    const auto name = entry.find("name");
    const auto text = entry.find("template");
    if (name == entry.end() || !name->is_string() || text == entry.end() || !text->is_string())
      return wrong;
    if (*name == "default") chosen = text->get<std::string>();
  }
  return chosen;
}

/// The licence goes where the weights go.
Result<void> read_licence(const fs::path& folder, SourceModel& model) {
  for (const char* name : {"LICENSE", "LICENSE.txt", "LICENSE.md"}) {
    Result<std::optional<std::string>> text = read_text(folder / name, model);
    if (!text) return text.error();
    if (!text->has_value()) continue;
    if (!is_utf8(**text)) return malformed((folder / name).string() + ": not UTF-8");
    model.licence = **std::move(text);
    return {};
  }
  return {};
}

/// Everything beside the weights. chat_template.jinja wins over tokenizer_config.json, as in
/// transformers.
Result<void> read_texts(const fs::path& folder, SourceModel& model) {
  Result<Json> config = read_object(folder / "config.json", model, &model.config_text);
  if (!config) return config.error();
  if (config->is_null())
    return malformed(folder.string() +
                     ": no config.json beside the weights; the architecture is not known without");
  const auto type = config->find("model_type");
  if (type != config->end() && !type->is_string())
    return malformed((folder / "config.json").string() + ": model_type is " + type->type_name() +
                     " where a string is expected");
  model.config = *std::move(config);
  const fs::path tokenizer_path = folder / "tokenizer_config.json";
  Result<Json> tokenizer_config = read_object(tokenizer_path, model, nullptr);
  if (!tokenizer_config) return tokenizer_config.error();
  model.tokenizer_config = *std::move(tokenizer_config);
  Result<Json> generation = read_object(folder / "generation_config.json", model, nullptr);
  if (!generation) return generation.error();
  model.generation_config = *std::move(generation);
  Result<std::optional<std::string>> tokenizer = read_text(folder / "tokenizer.json", model);
  if (!tokenizer) return tokenizer.error();
  model.tokenizer_json = tokenizer->value_or("");
  Result<std::optional<std::string>> jinja = read_text(folder / "chat_template.jinja", model);
  if (!jinja) return jinja.error();
  if (jinja->has_value()) {
    model.chat_template = **std::move(jinja);
  } else if (model.tokenizer_config.is_object()) {
    Result<std::string> text = template_of(model.tokenizer_config, tokenizer_path.string());
    if (!text) return text.error();
    model.chat_template = *std::move(text);
  }
  if (!is_utf8(model.chat_template))
    return malformed(folder.string() + ": the chat template is not UTF-8");
  return read_licence(folder, model);
}

/// A file name, not a path: what the index says must not lead out of the folder.
bool is_plain_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.size() <= 255 &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos;
}

Result<Shards> read_index(const fs::path& path, SourceModel& model) {
  Result<Json> index = read_object(path, model, nullptr);
  if (!index) return index.error();
  const auto map = index->find("weight_map");
  if (map == index->end() || !map->is_object())
    return malformed(path.string() + ": weight_map is missing or not an object");
  Shards shards;
  for (const auto& [tensor, shard] : map->items()) {
    if (!shard.is_string())
      return malformed(path.string() + ": weight_map entry " + in_quotes(tensor) + " is " +
                       shard.type_name() + " where a file name is expected");
    const std::string& name = shard.get_ref<const std::string&>();
    if (!is_plain_name(name))
      return malformed(path.string() + ": shard " + in_quotes(name) +
                       " is not a file name in the same folder");
    shards[name].push_back(tensor);
  }
  if (shards.empty()) return malformed(path.string() + ": weight_map is empty");
  if (shards.size() > kMaxShards)
    return unsupported(path.string() + ": " + std::to_string(shards.size()) + " shards, over " +
                       std::to_string(kMaxShards));
  return shards;
}

/// Maps one file and adds its tensors to the model.
Result<std::vector<SourceTensor>> read_weights(const fs::path& path, SourceModel& model) {
  Result<Mapping> mapping = Mapping::open(path);
  if (!mapping) return mapping.error();
  Result<std::vector<SourceTensor>> tensors = read_safetensors(mapping->bytes(), path.string());
  if (!tensors) return tensors.error();
  model.files.push_back({path.filename().string(), mapping->bytes().size()});
  model.mappings.push_back(*std::move(mapping));
  return tensors;
}

/// Both lists sorted: the first name that only one of them has is the one to report.
Result<void> check_shard(const std::vector<SourceTensor>& tensors,
                         const std::vector<std::string>& expected, const std::string& shard) {
  size_t i = 0;
  for (; i < tensors.size() && i < expected.size(); ++i)
    if (tensors[i].name != expected[i]) break;
  if (i == tensors.size() && i == expected.size()) return {};
  if (i == tensors.size() || (i < expected.size() && expected[i] < tensors[i].name))
    return malformed(shard + ": tensor " + in_quotes(expected[i]) +
                     " is not in this shard, where the index says it is");
  return malformed(shard + ": tensor " + in_quotes(tensors[i].name) +
                   " is in this shard, but not so in the index");
}

Result<void> read_shards(const fs::path& folder, SourceModel& model) {
  SourceModel index;  // so that the weights come first among the files
  Result<Shards> shards = read_index(folder / kIndex, index);
  if (!shards) return shards.error();
  for (const auto& [name, expected] : *shards)
    if (!present(folder / name))
      return malformed((folder / kIndex).string() + ": shard " + in_quotes(name) +
                       " is missing from the folder");
  for (const auto& [name, expected] : *shards) {
    Result<std::vector<SourceTensor>> tensors = read_weights(folder / name, model);
    if (!tensors) return tensors.error();
    if (Result<void> same = check_shard(*tensors, expected, (folder / name).string()); !same)
      return same.error();
    std::move(tensors->begin(), tensors->end(), std::back_inserter(model.tensors));
  }
  model.files.push_back(index.files.front());
  std::sort(model.tensors.begin(), model.tensors.end(),
            [](const SourceTensor& a, const SourceTensor& b) { return a.name < b.name; });
  return {};
}

/// What the folder holds instead of safetensors weights, for the message.
std::string instead_of_weights(const fs::path& folder) {
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(".gguf"))
      return "; it holds the GGUF file " + in_quotes(name) + ": give that";
    if (name.ends_with(".bin") || name.ends_with(".pt") || name.ends_with(".pth"))
      return "; it holds " + in_quotes(name) +
             ", a PyTorch checkpoint it seems: save it as safetensors first";
    if (name.ends_with(".safetensors"))
      return "; it holds " + in_quotes(name) +
             ": a shard without its index, or give that file itself";
  }
  return "";
}

}  // namespace

Result<SourceModel> open_hf_folder(const fs::path& folder) {
  SourceModel model;
  if (present(folder / kWhole)) {
    Result<std::vector<SourceTensor>> tensors = read_weights(folder / kWhole, model);
    if (!tensors) return tensors.error();
    model.tensors = *std::move(tensors);
  } else if (present(folder / kIndex)) {
    if (Result<void> read = read_shards(folder, model); !read) return read.error();
  } else {
    return malformed(folder.string() + ": neither " + std::string(kWhole) + " nor " +
                     std::string(kIndex) + " in this folder" + instead_of_weights(folder));
  }
  if (Result<void> read = read_texts(folder, model); !read) return read.error();
  return model;
}

Result<SourceModel> open_hf_file(const fs::path& file) {
  SourceModel model;
  const fs::path folder = file.has_parent_path() ? file.parent_path() : fs::path(".");
  const std::string name = file.filename().string();
  if (name != kWhole && present(folder / kIndex)) {
    SourceModel scratch;
    Result<Shards> shards = read_index(folder / kIndex, scratch);
    if (shards && shards->size() > 1 && shards->contains(name))
      return usage_error(file.string() + ": one of " + std::to_string(shards->size()) +
                         " shards of a model; give the folder instead");
  }
  Result<std::vector<SourceTensor>> tensors = read_weights(file, model);
  if (!tensors) return tensors.error();
  model.tensors = *std::move(tensors);
  if (Result<void> read = read_texts(folder, model); !read) return read.error();
  return model;
}

}  // namespace sqf

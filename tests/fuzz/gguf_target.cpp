// A GGUF file all the way that open_source takes it: container, configuration, tensors under their
// other names, tokenizer. The tokenizer.json made on the way is read back.

#include <vector>

#include "converter/gguf.hpp"
#include "converter/gguf_model.hpp"
#include "converter/gguf_tokenizer.hpp"
#include "model/description.hpp"
#include "model/tokenizer.hpp"
#include "tests/fuzz/guard.hpp"

namespace {

void touch_values(const sqf::GgufFile& file) {
  uint64_t sum = 0;
  for (const auto& [key, value] : file.values) {
    for (const uint64_t i : {uint64_t{0}, value.count / 2, value.count - 1, value.count}) {
      if (i >= value.count) continue;
      sum += static_cast<uint64_t>(sqf::gguf_integer(value, i).value_or(0));
      sum += sqf::gguf_number(value, i).has_value();
    }
    for (const std::string_view text : value.strings) sum += text.size();
    sum += key.size();
  }
  sqf::consume(sum);
}

void touch_tensors(const std::vector<sqf::SourceTensor>& tensors) {
  std::vector<float> row;
  for (const sqf::SourceTensor& t : tensors) {
    row.assign(static_cast<size_t>(sqf::column_count(t)), 0);
    const int64_t rows = sqf::row_count(t);
    for (const int64_t r : {int64_t{0}, rows / 2, rows - 1}) sqf::read_rows(t, r, 1, row.data());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const sqf::TimeGuard guard;
  const auto file = sqf::read_gguf(sqf::input_bytes(data, size), "input");
  if (!file) return 0;
  touch_values(*file);
  int64_t vocabulary = 64;
  if (const auto config = sqf::gguf_config(*file, "input")) {
    if (const auto tensors = sqf::gguf_tensors(*file, *config, "input")) touch_tensors(*tensors);
    vocabulary = (*config)["vocab_size"].get<int64_t>();
    if (const auto description = sqf::description_from_config(*config, sqf::Json()))
      sqf::consume(static_cast<uint64_t>(description->layers));
  }
  const auto tokenizer = sqf::read_gguf_tokenizer(*file, vocabulary, "input");
  if (!tokenizer || tokenizer->tokenizer_json.empty()) return 0;
  if (const auto read = sqf::Tokenizer::from_json(tokenizer->tokenizer_json))
    if (const auto ids = read->encode("Hello world 12", true)) sqf::consume(ids->size());
  return 0;
}

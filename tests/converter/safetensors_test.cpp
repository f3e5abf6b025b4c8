// safetensors files and Hugging Face folders: good ones read right, bad ones refused by name.
#include "converter/safetensors.hpp"

#include <gtest/gtest.h>

#include "tests/converter/inputs.hpp"

namespace sqf {
namespace {

std::string entry(std::string_view dtype, std::string_view shape, std::string_view offsets) {
  return "{\"dtype\":\"" + std::string(dtype) + "\",\"shape\":" + std::string(shape) +
         ",\"data_offsets\":" + std::string(offsets) + "}";
}

std::string with_header(std::string_view header, size_t data_bytes) {
  return safetensors_file(header, std::string(data_bytes, '\0'));
}

TEST(Safetensors, ReadsTensorsInOrderOfName) {
  const std::string header =
      "{\"__metadata__\":{\"format\":\"pt\"},\"b\":" + entry("F32", "[2,3]", "[0,24]") +
      ",\"a\":" + entry("BF16", "[4]", "[24,32]") + "}   ";
  const std::string file =
      safetensors_file(header, f32_bytes({1, 2, 3, 4, 5, 6}) + std::string(8, '\0'));
  auto tensors = read_safetensors(as_bytes(file), "m.safetensors");
  ASSERT_TRUE(tensors) << tensors.error().message;
  ASSERT_EQ(tensors->size(), 2u);
  EXPECT_EQ((*tensors)[0].name, "a");
  EXPECT_EQ((*tensors)[0].type, SourceType::bf16);
  EXPECT_EQ((*tensors)[1].shape, (std::vector<int64_t>{2, 3}));
  std::vector<float> row(3);
  read_rows((*tensors)[1], 1, 1, row.data());
  EXPECT_EQ(row, (std::vector<float>{4, 5, 6}));
}

struct BadFile {
  std::string name;
  std::string bytes;
  Code code;
  std::string says;  ///< must occur in the message
};

std::vector<BadFile> bad_containers() {
  const std::string good = with_header("{\"a\":" + entry("F32", "[2]", "[0,8]") + "}", 8);
  std::string huge = good;
  huge[7] = '\x80';
  std::string nul = good;
  nul[8] = '\0';
  return {
      {"empty", "", Code::malformed, "empty"},
      {"three bytes", "abc", Code::malformed, "only 3 bytes"},
      {"length alone", good.substr(0, 8), Code::malformed, "only 8 bytes"},
      {"truncated header", good.substr(0, 20), Code::malformed, "truncated: header length"},
      {"truncated data", good.substr(0, good.size() - 1), Code::malformed, "[0, 8) leave the data"},
      {"header of 2^63", huge, Code::malformed, "92233720368547758"},
      {"header over the limit", number_bytes(uint64_t{100'000'001}) + "{", Code::malformed,
       "over the limit of 100000000"},
      {"no brace", nul, Code::malformed, "neither safetensors nor GGUF"},
      {"garbage", std::string(100, '\xa7'), Code::malformed, "starts with \"\\xa7"},
      {"zip", std::string("PK\x03\x04") + std::string(30, 'z'), Code::malformed, "zip archive"},
      {"pickle", "\x80\x02}q" + std::string(30, 'z'), Code::malformed, "pickle"},
      {"web page", "\n<!DOCTYPE html><html>", Code::malformed, "web page"},
      {"LFS pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
       Code::malformed, "Git LFS pointer"},
      {"sqf", "\x89SQF\r\n\x1a\n" + std::string(248, '\0'), Code::malformed, "an SQF file"},
      {"json", "{\"architectures\": [\"LlamaForCausalLM\"]}", Code::malformed, "JSON text"},
      {"hdf5", "\x89HDF\r\n\x1a\n" + std::string(20, '\0'), Code::malformed, "HDF5"},
      {"old ggml", "tjgg" + std::string(20, '\1'), Code::malformed, "before GGUF"},
      {"gzip", "\x1f\x8b\x08" + std::string(20, '\1'), Code::malformed, "gzip"},
  };
}

std::vector<BadFile> bad_headers() {
  const auto one = [](const std::string& value, size_t data) {
    return with_header("{\"a\":" + value + "}", data);
  };
  const auto two = [](const std::string& a, const std::string& b, size_t data) {
    return with_header("{\"a\":" + a + ",\"b\":" + b + "}", data);
  };
  const std::string a = entry("F32", "[2]", "[0,8]");
  return {
      {"not JSON", with_header("{\"a\":", 8), Code::malformed, "not valid JSON"},
      {"NUL in header", with_header(std::string("{\0}", 3), 0), Code::malformed, "not valid JSON"},
      {"bytes after the object", with_header("{\"a\":" + a + "}{}", 8), Code::malformed,
       "not valid JSON"},
      {"duplicate name", with_header("{\"a\":" + a + ",\"a\":" + a + "}", 8), Code::malformed,
       "duplicate key \"a\""},
      {"deep", one(std::string(40, '[') + std::string(40, ']'), 0), Code::malformed, "nesting"},
      {"no tensors", with_header("{}", 0), Code::malformed, "holds no tensor"},
      {"metadata number", with_header("{\"__metadata__\":{\"x\":1},\"a\":" + a + "}", 8),
       Code::malformed, "__metadata__ \"x\" is not a string"},
      {"metadata list", with_header("{\"__metadata__\":[],\"a\":" + a + "}", 8), Code::malformed,
       "__metadata__ is not an object"},
      {"entry a list", one("[1]", 8), Code::malformed, "not an object"},
      {"dtype missing", one("{\"shape\":[2],\"data_offsets\":[0,8]}", 8), Code::malformed, "dtype"},
      {"dtype a number", one("{\"dtype\":7,\"shape\":[2],\"data_offsets\":[0,8]}", 8),
       Code::malformed, "dtype"},
      {"I8", one(entry("I8", "[8]", "[0,8]"), 8), Code::unsupported, "tensor \"a\": dtype I8"},
      {"U8", one(entry("U8", "[8]", "[0,8]"), 8), Code::unsupported, "dtype U8"},
      {"F8", one(entry("F8_E4M3", "[8]", "[0,8]"), 8), Code::unsupported, "dtype F8_E4M3"},
      {"unknown dtype", one(entry("Q9", "[8]", "[0,8]"), 8), Code::malformed,
       "unknown dtype \"Q9\""},
      {"unknown field",
       one("{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"strides\":[1]}", 8),
       Code::unsupported, "unknown field \"strides\""},
      {"scalar", one(entry("F32", "[]", "[0,4]"), 4), Code::unsupported, "scalar"},
      {"rank 4", one(entry("F32", "[1,1,1,2]", "[0,8]"), 8), Code::unsupported, "rank 4"},
      {"dimension 0", one(entry("F32", "[2,0]", "[0,0]"), 0), Code::malformed, "dimension 0"},
      {"dimension negative", one(entry("F32", "[-2]", "[0,8]"), 8), Code::malformed, "\"-2\""},
      {"dimension fraction", one(entry("F32", "[2.0]", "[0,8]"), 8), Code::malformed, "\"2.0\""},
      {"dimension 2^64 - 1", one(entry("F32", "[18446744073709551615]", "[0,8]"), 8),
       Code::malformed, "not a count"},
      {"shape overflows", one(entry("F32", "[4294967296,4294967296]", "[0,8]"), 8), Code::malformed,
       "shape overflows"},
      {"shape overflows to the right size",
       one(entry("F32", "[4611686018427387905,4]", "[0,16]"), 16), Code::malformed,
       "shape overflows"},
      {"shape a string", one(entry("F32", "\"2\"", "[0,8]"), 8), Code::malformed, "shape"},
      {"offsets missing", one("{\"dtype\":\"F32\",\"shape\":[2]}", 8), Code::malformed,
       "data_offsets"},
      {"three offsets", one(entry("F32", "[2]", "[0,4,8]"), 8), Code::malformed, "data_offsets"},
      {"offset negative", one(entry("F32", "[2]", "[-8,0]"), 8), Code::malformed, "data_offsets"},
      {"offsets backwards", one(entry("F32", "[2]", "[8,0]"), 8), Code::malformed,
       "[8, 0) run backwards"},
      {"offset beyond", one(entry("F32", "[2]", "[8,16]"), 8), Code::malformed, "leave the data"},
      {"offset 2^64 - 1", one(entry("F32", "[2]", "[0,18446744073709551615]"), 8), Code::malformed,
       "leave the data"},
      {"size too small", one(entry("F32", "[3]", "[0,8]"), 8), Code::malformed,
       "hold 8 bytes, but shape and dtype need 12"},
      {"size too large", one(entry("BF16", "[2]", "[0,8]"), 8), Code::malformed, "need 4"},
      {"overlap", two(a, entry("F32", "[2]", "[4,12]"), 12), Code::malformed,
       "tensor \"b\" begins at data byte 4, overlapping"},
      {"same bytes twice", two(a, a, 8), Code::malformed, "overlapping"},
      {"gap", two(a, entry("F32", "[2]", "[12,20]"), 20), Code::malformed, "leaving a gap"},
      {"gap at the start", one(entry("F32", "[2]", "[4,12]"), 12), Code::malformed, "gap"},
      {"bytes left over", one(a, 9), Code::malformed, "1 bytes after the last tensor"},
      {"empty name", with_header("{\"\":" + a + "}", 8), Code::malformed, "the name is empty"},
      {"control character in name", with_header("{\"a\\u001b[2J\":" + a + "}", 8), Code::malformed,
       "\"a\\x1b[2J\""},
      {"long name", with_header("{\"" + std::string(1025, 'n') + "\":" + a + "}", 8),
       Code::malformed, "over 1024 bytes"},
  };
}

TEST(Safetensors, RefusesBadFiles) {
  const TempFolder folder;
  folder.write("config.json", "{}");
  std::vector<BadFile> all = bad_containers();
  for (BadFile& bad : bad_headers()) all.push_back(std::move(bad));
  for (const BadFile& bad : all) {
    const Result<SourceModel> opened = open_source(folder.write("model.safetensors", bad.bytes));
    ASSERT_FALSE(opened) << bad.name;
    EXPECT_EQ(opened.error().code, bad.code) << bad.name << ": " << opened.error().message;
    EXPECT_NE(opened.error().message.find(bad.says), std::string::npos)
        << bad.name << ": " << opened.error().message;
    EXPECT_NE(opened.error().message.find("model.safetensors"), std::string::npos) << bad.name;
  }
}

/// Every prefix of a good file is refused, and every flipped byte of it either refused or read
/// without harm (under the sanitizers).
TEST(Safetensors, SurvivesTruncationAndFlippedBytes) {
  const std::string file = with_header(
      "{\"a\":" + entry("F32", "[2]", "[0,8]") + ",\"b\":" + entry("F16", "[2,2]", "[8,16]") + "}",
      16);
  for (size_t size = 0; size < file.size(); ++size)
    EXPECT_FALSE(read_safetensors(as_bytes(file.substr(0, size)), "x")) << size;
  size_t accepted = 0;
  for (size_t at = 0; at < file.size(); ++at)
    for (const int flip : {1, 2, 4, 8, 16, 32, 64, 128}) {
      std::string bad = file;
      bad[at] = static_cast<char>(bad[at] ^ flip);
      auto tensors = read_safetensors(as_bytes(bad), "x");
      if (!tensors) continue;
      ++accepted;
      std::vector<float> out(4);
      for (const SourceTensor& tensor : *tensors) read_rows(tensor, 0, 1, out.data());
    }
  EXPECT_GE(accepted, 16u * 8u);  // the data bytes at least
}

std::string file_of(const std::string& name, float value) {
  return safetensors_file("{\"" + name + "\":" + entry("F32", "[2]", "[0,8]") + "}",
                          f32_bytes({value, value}));
}

/// A folder of two shards, tensors "a" and "b".
struct Sharded {
  TempFolder folder;
  Sharded() {
    folder.write("config.json", "{\"model_type\":\"llama\"}");
    folder.write("one.safetensors", file_of("b", 1));
    folder.write("two.safetensors", file_of("a", 2));
    index("{\"a\":\"two.safetensors\",\"b\":\"one.safetensors\"}");
  }
  void index(const std::string& map) const {
    folder.write("model.safetensors.index.json", "{\"metadata\":{},\"weight_map\":" + map + "}");
  }
};

TEST(HfFolder, ReadsShardsAndTexts) {
  const Sharded in;
  in.folder.write("tokenizer.json", "{\"model\": {}}");
  in.folder.write("generation_config.json", "{\"eos_token_id\":[1,2]}");
  in.folder.write("tokenizer_config.json",
                  "{\"chat_template\":[{\"name\":\"tool_use\",\"template\":\"T\"},"
                  "{\"name\":\"default\",\"template\":\"D\"}]}");
  Result<SourceModel> model = open_source(in.folder.path());
  ASSERT_TRUE(model) << model.error().message;
  ASSERT_EQ(model->tensors.size(), 2u);
  EXPECT_EQ(model->tensors[0].name, "a");
  float out[2] = {};
  read_rows(model->tensors[0], 0, 1, out);
  EXPECT_EQ(out[1], 2.0f);
  EXPECT_EQ(model->config["model_type"], "llama");
  EXPECT_EQ(model->config_text, "{\"model_type\":\"llama\"}");
  EXPECT_EQ(model->tokenizer_json, "{\"model\": {}}");
  EXPECT_EQ(model->chat_template, "D");
  EXPECT_EQ(model->generation_config["eos_token_id"][1], 2);
  EXPECT_EQ(model->files[0].name, "one.safetensors");
  EXPECT_EQ(model->mappings.size(), 2u);
  in.folder.write("chat_template.jinja", "J");
  EXPECT_EQ(open_source(in.folder.path())->chat_template, "J");
}

TEST(HfFolder, AFileAloneBringsTheTextsBesideIt) {
  const TempFolder folder;
  folder.write("config.json", "{}");
  folder.write("tokenizer_config.json", "{\"chat_template\":\"C\"}");
  const auto path = folder.write("weights.bin", file_of("w", 3));  // the name does not matter
  Result<SourceModel> model = open_source(path);
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ(model->chat_template, "C");
  EXPECT_TRUE(model->generation_config.is_null());
  EXPECT_EQ(model->tokenizer_json, "");
  const Sharded sharded;
  Result<SourceModel> shard = open_source(sharded.folder.path() / "one.safetensors");
  ASSERT_FALSE(shard);
  EXPECT_EQ(shard.error().code, Code::usage);
  EXPECT_NE(shard.error().message.find("one of 2 shards"), std::string::npos);
}

TEST(HfFolder, RefusesBadIndexes) {
  const std::pair<const char*, const char*> cases[] = {
      {"{}", "weight_map is empty"},
      {"[]", "weight_map is missing or not an object"},
      {"{\"a\":\"two.safetensors\",\"b\":7}", "entry \"b\" is number where a file name"},
      {"{\"a\":\"../two.safetensors\"}", "\"../two.safetensors\" is not a file name"},
      {"{\"a\":\"/etc/passwd\"}", "is not a file name"},
      {"{\"a\":\"..\"}", "is not a file name"},
      {"{\"a\":\"x\\\\y\"}", "is not a file name"},
      {"{\"a\":\"\"}", "is not a file name"},
      {"{\"a\":\"two.safetensors\\u0000\"}", "is not a file name"},
      {"{\"a\":\"three.safetensors\"}", "shard \"three.safetensors\" is missing"},
      {"{\"a\":\"two.safetensors\",\"b\":\"one.safetensors\",\"c\":\"one.safetensors\"}",
       "tensor \"c\" is not in this shard"},
      {"{\"a\":\"one.safetensors\",\"b\":\"one.safetensors\"}", "tensor \"a\" is not in this"},
      {"{\"aa\":\"two.safetensors\",\"b\":\"one.safetensors\"}",
       "tensor \"a\" is in this shard, but not so in the index"},
      {"{\"a\":\"two.safetensors\",\"a\":\"one.safetensors\"}", "duplicate key \"a\""},
  };
  for (const auto& [map, says] : cases) {
    const Sharded in;
    in.index(map);
    const std::string message = message_of(open_source(in.folder.path()));
    EXPECT_NE(message.find(says), std::string::npos) << map << ": " << message;
  }
}

TEST(HfFolder, RefusesBadTexts) {
  const struct {
    const char* file;
    const char* text;
    const char* says;
  } cases[] = {
      {"config.json", "[]", "holds array where an object"},
      {"config.json", "{\"a\":1,\"a\":2}", "duplicate key"},
      {"config.json", "{\"model_type\":7}", "model_type is number"},
      {"config.json", "{\"model_type\":", "not valid JSON"},
      {"generation_config.json", "3", "holds number where an object"},
      {"tokenizer_config.json", "{\"chat_template\":7}", "chat_template is neither"},
      {"tokenizer_config.json", "{\"chat_template\":[7]}", "chat_template is neither"},
      {"tokenizer_config.json", "{\"chat_template\":[{\"name\":\"default\"}]}", "is neither"},
      {"tokenizer.json", "version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"},
      {"chat_template.jinja", "\xff\xfe", "not UTF-8"},
      {"LICENSE", "\xff\xfe", "not UTF-8"},
  };
  for (const auto& bad : cases) {
    const TempFolder folder;
    folder.write("config.json", "{}");
    folder.write("model.safetensors", file_of("w", 1));
    ASSERT_TRUE(open_source(folder.path()));
    folder.write(bad.file, bad.text);
    const std::string message = message_of(open_source(folder.path()));
    EXPECT_NE(message.find(bad.says), std::string::npos) << bad.file << ": " << message;
    const bool names_it = message.find(bad.file) != std::string::npos;
    EXPECT_TRUE(names_it || message.find("the chat template") != std::string::npos) << message;
  }
}

TEST(HfFolder, SaysWhatIsThereInsteadOfWeights) {
  const TempFolder folder;
  EXPECT_NE(message_of(open_source(folder.path())).find("neither model.safetensors nor"),
            std::string::npos);
  folder.write("pytorch_model.bin", "PK");
  EXPECT_NE(message_of(open_source(folder.path())).find("pytorch_model.bin"), std::string::npos);
  folder.write("model.safetensors", file_of("w", 1));
  EXPECT_NE(message_of(open_source(folder.path())).find("no config.json"), std::string::npos);
  const Result<SourceModel> missing = open_source(folder.path() / "nothing");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Code::io);
}

}  // namespace
}  // namespace sqf

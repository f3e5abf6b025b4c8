#pragma once
// Small safetensors and GGUF files made byte by byte, good ones to start from and to break.

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "converter/source.hpp"

namespace sqf {

template <typename T>
std::string number_bytes(T value) {
  std::string out(sizeof value, '\0');
  std::memcpy(out.data(), &value, sizeof value);
  return out;
}

inline std::string f32_bytes(const std::vector<float>& values) {
  std::string out;
  for (const float value : values) out += number_bytes(value);
  return out;
}

inline std::string safetensors_file(std::string_view header, std::string_view data) {
  return number_bytes(uint64_t{header.size()}) + std::string(header) + std::string(data);
}

inline std::span<const std::byte> as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

/// A folder that goes away with the test.
class TempFolder {
 public:
  TempFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "sqf_sources_XXXXXX").string();
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    path_ = name;
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  std::filesystem::path write(const std::string& name, std::string_view bytes) const {
    std::ofstream out(path_ / name, std::ios::binary);
    out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    return path_ / name;
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline std::string gguf_string(std::string_view text) {
  return number_bytes(uint64_t{text.size()}) + std::string(text);
}

/// Collects metadata and tensors in order; bytes() lays them out.
class GgufBuilder {
 public:
  GgufBuilder& raw(std::string_view key, uint32_t type, std::string_view value) {
    values_ += gguf_string(key) + number_bytes(type) + std::string(value);
    ++value_count_;
    return *this;
  }
  GgufBuilder& text(std::string_view key, std::string_view value) {
    return raw(key, 8, gguf_string(value));
  }
  GgufBuilder& u32(std::string_view key, uint32_t value) {
    return raw(key, 4, number_bytes(value));
  }
  GgufBuilder& f32(std::string_view key, float value) { return raw(key, 6, number_bytes(value)); }
  GgufBuilder& flag(std::string_view key, bool value) {
    return raw(key, 7, std::string(1, value ? '\1' : '\0'));
  }
  GgufBuilder& texts(std::string_view key, const std::vector<std::string>& values) {
    std::string bytes = number_bytes(uint32_t{8}) + number_bytes(uint64_t{values.size()});
    for (const std::string& value : values) bytes += gguf_string(value);
    return raw(key, 9, bytes);
  }
  template <typename T>
  GgufBuilder& numbers(std::string_view key, uint32_t type, const std::vector<T>& values) {
    std::string bytes = number_bytes(type) + number_bytes(uint64_t{values.size()});
    for (const T value : values) bytes += number_bytes(value);
    return raw(key, 9, bytes);
  }
  /// `dimensions` innermost first, as the file has them.
  GgufBuilder& tensor(std::string_view name, const std::vector<uint64_t>& dimensions, uint32_t type,
                      std::string_view bytes) {
    return tensor_at(name, dimensions, type, data_.size(), bytes);
  }
  GgufBuilder& tensor_at(std::string_view name, const std::vector<uint64_t>& dimensions,
                         uint32_t type, uint64_t offset, std::string_view bytes) {
    infos_ += gguf_string(name) + number_bytes(static_cast<uint32_t>(dimensions.size()));
    for (const uint64_t dimension : dimensions) infos_ += number_bytes(dimension);
    infos_ += number_bytes(type) + number_bytes(offset);
    data_ += bytes;
    data_.resize((data_.size() + 31) / 32 * 32);
    ++tensor_count_;
    return *this;
  }
  std::string bytes() const {
    std::string out = "GGUF" + number_bytes(uint32_t{3}) + number_bytes(tensor_count_) +
                      number_bytes(value_count_) + values_ + infos_;
    out.resize((out.size() + 31) / 32 * 32);
    return out + data_;
  }

 private:
  std::string values_;
  std::string infos_;
  std::string data_;
  uint64_t value_count_ = 0;
  uint64_t tensor_count_ = 0;
};

/// Metadata of a model of width 8, two heads of 4, one key head, one layer; no tensors.
inline GgufBuilder model_words(const std::string& architecture) {
  GgufBuilder out;
  out.text("general.architecture", architecture)
      .u32(architecture + ".block_count", 1)
      .u32(architecture + ".context_length", 64)
      .u32(architecture + ".embedding_length", 8)
      .u32(architecture + ".feed_forward_length", 16)
      .u32(architecture + ".attention.head_count", 2)
      .u32(architecture + ".attention.head_count_kv", 1)
      .f32(architecture + ".attention.layer_norm_rms_epsilon", 1e-5f);
  return out;
}
inline GgufBuilder llama_words() {
  return model_words("llama");
}

inline std::vector<float> counting(size_t count) {
  std::vector<float> out(count);
  for (size_t i = 0; i < count; ++i) out[i] = static_cast<float>(i);
  return out;
}

/// The embedding of that model: 4 tokens.
inline GgufBuilder& add_embedding(GgufBuilder& out) {
  return out.tensor("token_embd.weight", {8, 4}, 0, f32_bytes(counting(32)));
}

inline std::string message_of(const Result<SourceModel>& result) {
  return result ? "accepted" : result.error().message;
}

}  // namespace sqf

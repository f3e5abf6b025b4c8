#pragma once
// C++ over sqf.h: handles that close themselves, errors that throw, views of what the file holds.
// Header only, C++17; everything said in sqf.h on threads, lifetimes and meanings holds here.
//
//   const sqf::File file("model.sqf", sqf::Verify::lazy);
//   for (const sqf_tensor& tensor : file.tensors())
//     std::cout << tensor.name << ' ' << tensor.bits_per_weight << '\n';
//   const std::vector<float> row = file.dequantize(*file.find("lm_head.weight"), {0, 17, 1});

#include <sqf.h>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sqf {
// Of its own, so that a program linked with the static library keeps its names apart from ours.
inline namespace c1 {

enum class Verify { head = SQF_VERIFY_HEAD, lazy = SQF_VERIFY_LAZY, full = SQF_VERIFY_FULL };

/// What every member function throws when the C function behind it fails.
class Error : public std::runtime_error {
 public:
  explicit Error(const sqf_error& details)
      : std::runtime_error(details.message), details_(details) {}
  const sqf_error& details() const noexcept { return details_; }
  sqf_code code() const noexcept { return static_cast<sqf_code>(details_.code); }

 private:
  sqf_error details_;
};

/// Rows first .. first + count - 1 of one expert's matrix.
struct Rows {
  std::uint64_t expert = 0, first = 0, count = 0;
};

/// An open file. Move-only; const members are safe from any thread.
class File {
 public:
  explicit File(const std::string& path, Verify verify = Verify::head) {
    run([&](sqf_error* e) { return sqf_open(path.c_str(), static_cast<int>(verify), &file_, e); });
  }
  File(File&& other) noexcept : file_(std::exchange(other.file_, nullptr)) {}
  File& operator=(File&& other) noexcept {
    std::swap(file_, other.file_);
    return *this;
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() { sqf_close(file_); }

  /// For the C functions; still owned here.
  sqf_file* handle() const noexcept { return file_; }

  sqf_info info() const { return get<sqf_info>(sqf_get_info); }
  std::uint32_t tensor_count() const noexcept { return sqf_tensor_count(file_); }
  sqf_tensor tensor(std::uint32_t index) const { return get<sqf_tensor>(sqf_get_tensor, index); }
  std::vector<sqf_tensor> tensors() const {
    std::vector<sqf_tensor> all(tensor_count());
    for (std::uint32_t i = 0; i < all.size(); i++) all[i] = tensor(i);
    return all;
  }
  std::optional<sqf_tensor> find(const std::string& name) const {
    sqf_tensor found = {};
    if (sqf_find_tensor(file_, name.c_str(), &found, nullptr) != SQF_OK) return std::nullopt;
    return found;
  }
  sqf_part part(const sqf_tensor& tensor, std::uint32_t index) const {
    return get<sqf_part>(sqf_get_part, tensor.index, index);
  }
  sqf_input input(std::uint32_t index) const { return get<sqf_input>(sqf_get_input, index); }
  std::vector<std::uint64_t> columns(const sqf_tensor& tensor, std::uint32_t part_index) const {
    std::vector<std::uint64_t> out(part(tensor, part_index).set.count);
    run([&](sqf_error* e) {
      return sqf_part_columns(file_, tensor.index, part_index, out.data(), e);
    });
    return out;
  }
  /// data is null where there is no such component.
  sqf_component component(const sqf_tensor& tensor, std::uint32_t part_index, int role) const {
    return get<sqf_component>(sqf_part_component, tensor.index, part_index, role);
  }
  sqf_component component(const sqf_tensor& tensor, int role) const {
    return get<sqf_component>(sqf_tensor_component, tensor.index, role);
  }

  void dequantize(const sqf_tensor& tensor, const Rows& rows, float* out) const {
    decode(sqf_dequantize, tensor, rows, out);
  }
  /// [rows.count][columns]
  std::vector<float> dequantize(const sqf_tensor& tensor, const Rows& rows) const {
    return decoded(sqf_dequantize, tensor, rows);
  }
  void effective(const sqf_tensor& tensor, const Rows& rows, float* out) const {
    decode(sqf_effective, tensor, rows, out);
  }
  std::vector<float> effective(const sqf_tensor& tensor, const Rows& rows) const {
    return decoded(sqf_effective, tensor, rows);
  }

  /// META, the model's description: JSON.
  std::string_view metadata() const { return section("META"); }
  /// A section of the head by its four letters; empty where there is none.
  std::string_view section(const char* kind) const {
    const void* data = nullptr;
    std::size_t size = 0;
    run([&](sqf_error* e) { return sqf_get_section(file_, kind, &data, &size, e); });
    return data == nullptr ? std::string_view()
                           : std::string_view(static_cast<const char*>(data), size);
  }
  std::pair<const void*, std::uint64_t> raw_bytes() const {
    std::pair<const void*, std::uint64_t> out = {};
    run([&](sqf_error* e) { return sqf_raw_bytes(file_, &out.first, &out.second, e); });
    return out;
  }

  /// Called with the bytes checked and the bytes there are; false stops, and verify() throws.
  using Progress = std::function<bool(std::uint64_t, std::uint64_t)>;
  /// Every rule that the tensor bytes break; empty: the file is whole.
  std::vector<sqf_error> verify(const Progress& progress = {}) const {
    Verification v = {&progress, {}, nullptr};
    sqf_error error;
    const sqf_code code = sqf_verify(file_, report_progress, take_finding, &v, &error);
    if (v.thrown) std::rethrow_exception(v.thrown);
    if (code != SQF_OK && (code != SQF_ERROR_MALFORMED || v.findings.empty())) throw Error(error);
    return std::move(v.findings);
  }

 private:
  /// What the callbacks of a verification share. What they throw waits here until C has returned.
  struct Verification {
    const Progress* progress;
    std::vector<sqf_error> findings;
    std::exception_ptr thrown;
  };

  static int report_progress(void* context, std::uint64_t done, std::uint64_t total) noexcept {
    auto& v = *static_cast<Verification*>(context);
    try {
      return !*v.progress || (*v.progress)(done, total) ? 0 : 1;
    } catch (...) {
      v.thrown = std::current_exception();
      return 1;
    }
  }
  static int take_finding(void* context, const sqf_error* finding) noexcept {
    auto& v = *static_cast<Verification*>(context);
    try {
      v.findings.push_back(*finding);
      return 0;
    } catch (...) {
      v.thrown = std::current_exception();
      return 1;
    }
  }

  template <typename Call>
  static void run(Call call) {
    sqf_error error;
    if (call(&error) != SQF_OK) throw Error(error);
  }
  template <typename T, typename Function, typename... Arguments>
  T get(Function function, Arguments... arguments) const {
    T out = {};
    run([&](sqf_error* e) { return function(file_, arguments..., &out, e); });
    return out;
  }
  template <typename Function>
  void decode(Function function, const sqf_tensor& t, const Rows& rows, float* out) const {
    run([&](sqf_error* e) {
      return function(file_, t.index, rows.expert, rows.first, rows.count, out, e);
    });
  }
  template <typename Function>
  std::vector<float> decoded(Function function, const sqf_tensor& t, const Rows& rows) const {
    // A count past the end is refused below; it must not ask for memory first.
    std::vector<float> out(rows.count <= t.rows ? rows.count * t.columns : 1);
    decode(function, t, rows, out.data());
    return out;
  }

  sqf_file* file_ = nullptr;
};

}  // namespace c1
}  // namespace sqf

#pragma once
// Result<T>: a value or the reason why there is none. Member names follow std::expected, which
// g++ 12 does not have in C++20. Errors about bytes from outside carry the number of the broken
// rule (spec/rules.md); nothing here prints, aborts or throws.

#include <cassert>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace sqf {

/// What kind of thing went wrong; the value is the exit code of every program.
enum class Code : uint8_t {
  malformed = 1,    ///< bytes from outside break a rule, or a checksum does not match
  usage = 2,        ///< the caller asked for something that cannot be
  io = 3,           ///< the environment refused: file system, memory, device
  unsupported = 4,  ///< valid, but this build cannot do it
  interrupted = 5,  ///< stopped by a signal
};

struct Error {
  Code code = Code::malformed;
  std::string message;  ///< what was found, what was expected, where: one sentence
  uint16_t rule = 0;    ///< number in spec/rules.md; 0 where no rule of the format is concerned

  // The same for programs, as far as it is known: empty, or kNowhere.
  static constexpr uint64_t kNowhere = ~uint64_t{0};
  std::string tensor = {};     ///< name of the tensor concerned
  uint64_t offset = kNowhere;  ///< byte in the file
  std::string expected = {}, found = {};

  Error at(uint64_t byte) && {
    offset = byte;
    return std::move(*this);
  }
  Error of(std::string_view name) && {
    tensor = name;
    return std::move(*this);
  }
  Error values(std::string should_be, std::string is) && {
    expected = std::move(should_be);
    found = std::move(is);
    return std::move(*this);
  }
};

inline Error malformed(std::string message) {
  return {Code::malformed, std::move(message), 0};
}
inline Error usage_error(std::string message) {
  return {Code::usage, std::move(message), 0};
}
inline Error io_error(std::string message) {
  return {Code::io, std::move(message), 0};
}
inline Error unsupported(std::string message) {
  return {Code::unsupported, std::move(message), 0};
}

/// Holds a T or an Error. Reading the one that is not there is a caller's mistake (assert).
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }

  T& value() & { return *get(); }
  const T& value() const& { return *const_cast<Result*>(this)->get(); }
  T&& value() && { return std::move(*get()); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return get(); }
  const T* operator->() const { return const_cast<Result*>(this)->get(); }

  const Error& error() const {
    assert(!has_value());
    return *std::get_if<1>(&state_);
  }

 private:
  T* get() {
    assert(has_value());
    return std::get_if<0>(&state_);
  }
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)), ok_(false) {}

  bool has_value() const { return ok_; }
  explicit operator bool() const { return ok_; }
  const Error& error() const {
    assert(!ok_);
    return error_;
  }

 private:
  Error error_;
  bool ok_ = true;
};

}  // namespace sqf

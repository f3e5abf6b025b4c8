#pragma once
// XXH3-64 with seed 0, the one hash of the format. It finds accidents; it is no signature.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace sqf {

uint64_t hash_bytes(std::span<const std::byte> bytes);

/// The same hash over bytes that arrive in pieces.
class Hasher {
 public:
  Hasher();
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;
  Hasher(const Hasher&) = delete;
  Hasher& operator=(const Hasher&) = delete;
  ~Hasher();

  void update(std::span<const std::byte> bytes);
  uint64_t digest() const;  ///< of everything since the start or the last reset
  void reset();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sqf

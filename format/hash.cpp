#include "format/hash.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace sqf {

uint64_t hash_bytes(std::span<const std::byte> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

struct Hasher::State {
  XXH3_state_t xxh;
};

Hasher::Hasher() : state_(std::make_unique<State>()) {
  reset();
}
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;
Hasher::~Hasher() = default;

void Hasher::update(std::span<const std::byte> bytes) {
  XXH3_64bits_update(&state_->xxh, bytes.data(), bytes.size());
}
uint64_t Hasher::digest() const {
  return XXH3_64bits_digest(&state_->xxh);
}
void Hasher::reset() {
  XXH3_64bits_reset(&state_->xxh);
}

}  // namespace sqf

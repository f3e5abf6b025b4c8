#include "model/vocabulary.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "format/text.hpp"

namespace sqf {
namespace {

uint64_t fold_multiply(uint64_t a, uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

uint64_t seed() {
  static const uint64_t value = [] {
    static const char anchor = 0;  // its address is random where the system randomizes addresses
    const auto ticks = std::chrono::steady_clock::now().time_since_epoch().count();
    return fold_multiply(static_cast<uint64_t>(ticks) ^ 0x9E3779B97F4A7C15u,
                         reinterpret_cast<uintptr_t>(&anchor) | 1) |
           1;
  }();
  return value;
}

constexpr uint64_t kMultiplier = 0xD6E8FEB86659FD93u;

}  // namespace

uint64_t seeded_hash(uint64_t value) {
  return fold_multiply(fold_multiply(value ^ seed(), kMultiplier) ^ value, seed() | 1);
}

uint64_t seeded_hash(std::string_view bytes) {
  uint64_t hash = seed() ^ bytes.size();
  while (bytes.size() >= 8) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data(), 8);
    hash = fold_multiply(hash ^ word, kMultiplier);
    bytes.remove_prefix(8);
  }
  uint64_t tail = 0;
  std::memcpy(&tail, bytes.data(), bytes.size());
  return fold_multiply(fold_multiply(hash ^ tail, kMultiplier), seed());
}

size_t Vocabulary::slot_of(std::string_view text, uint32_t hash) const {
  const size_t mask = slots_.size() - 1;
  size_t slot = hash & mask;
  for (; slots_[slot].index != 0; slot = (slot + 1) & mask)
    if (slots_[slot].hash == hash && text_of(tokens_[slots_[slot].index - 1]) == text) break;
  return slot;
}

void Vocabulary::grow() {
  std::vector<Slot> old(std::max<size_t>(1024, 2 * slots_.size()), Slot{});
  old.swap(slots_);
  const size_t mask = slots_.size() - 1;
  for (const Slot& entry : old) {
    if (entry.index == 0) continue;
    size_t slot = entry.hash & mask;
    while (slots_[slot].index != 0) slot = (slot + 1) & mask;
    slots_[slot] = entry;
  }
}

Result<void> Vocabulary::add(std::string_view text, int64_t id) {
  if (id < 0 || id > kMaxTokenId)
    return malformed("the id of " + in_quotes(text) + " is not in 0.." +
                     std::to_string(kMaxTokenId));
  if (block_.size() + text.size() > UINT32_MAX) return malformed("more than 4 GiB of token text");
  if (2 * (tokens_.size() + 1) > slots_.size()) grow();
  const auto hash = static_cast<uint32_t>(seeded_hash(text));
  Slot& slot = slots_[slot_of(text, hash)];
  if (slot.index != 0) return malformed(in_quotes(text) + " is there twice");
  tokens_.push_back({static_cast<uint32_t>(block_.size()), static_cast<uint32_t>(text.size()),
                     static_cast<int32_t>(id)});
  block_ += text;
  slot = {hash, static_cast<uint32_t>(tokens_.size())};
  return {};
}

Result<void> Vocabulary::finish() {
  int64_t largest = -1;
  for (const Token& token : tokens_) largest = std::max<int64_t>(largest, token.id);
  // Real vocabularies have small gaps; this bound only keeps a tiny file from asking for much.
  const auto bound = static_cast<int64_t>(4 * tokens_.size() + 65536);
  if (largest >= bound)
    return malformed("id " + std::to_string(largest) + " is too large for " +
                     std::to_string(tokens_.size()) + " tokens");
  index_of_.assign(static_cast<size_t>(largest + 1), 0);
  for (size_t i = 0; i < tokens_.size(); ++i) {
    uint32_t& index = index_of_[static_cast<size_t>(tokens_[i].id)];
    if (index != 0)
      return malformed(in_quotes(text_of(tokens_[index - 1])) + " and " +
                       in_quotes(text_of(tokens_[i])) + " both have id " +
                       std::to_string(tokens_[i].id));
    index = static_cast<uint32_t>(i + 1);
  }
  return {};
}

std::optional<int32_t> Vocabulary::find(std::string_view text) const {
  if (slots_.empty()) return std::nullopt;
  const auto hash = static_cast<uint32_t>(seeded_hash(text));
  const uint32_t index = slots_[slot_of(text, hash)].index;
  if (index == 0) return std::nullopt;
  return tokens_[index - 1].id;
}

bool Vocabulary::contains(int64_t id) const {
  return id >= 0 && id < size() && index_of_[static_cast<size_t>(id)] != 0;
}

std::string_view Vocabulary::text(int64_t id) const {
  if (!contains(id)) return {};
  return text_of(tokens_[index_of_[static_cast<size_t>(id)] - 1]);
}

}  // namespace sqf

#include "model/vocabulary.hpp"

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

/// Differs from process to process, so that no file can be made whose texts all collide.
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

uint64_t seeded_hash(std::string_view bytes) {
  uint64_t hash = seed() ^ bytes.size();
  while (bytes.size() >= 8) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data(), 8);
    hash = fold_multiply(hash ^ word, kMultiplier);
    bytes.remove_prefix(8);
  }
  uint64_t tail = 0;
  if (!bytes.empty()) std::memcpy(&tail, bytes.data(), bytes.size());
  return fold_multiply(fold_multiply(hash ^ tail, kMultiplier), seed());
}

}  // namespace

Result<Vocabulary> Vocabulary::create(const VocabularyTable& table) {
  Vocabulary vocabulary;
  vocabulary.table_ = table;
  vocabulary.size_ = static_cast<int64_t>(table.begin.size()) - 1;
  if (auto checked = vocabulary.check(); !checked) return checked.error();
  if (auto indexed = vocabulary.index(); !indexed) return indexed.error();
  return vocabulary;
}

Result<void> Vocabulary::check() const {
  const auto& [begin, pool, empty_id] = table_;
  if (begin.empty() || begin.front() != 0 || begin.back() != pool.size())
    return malformed("the texts do not fill the pool of " + std::to_string(pool.size()) + " bytes");
  for (size_t id = 0; id + 1 < begin.size(); ++id)
    if (begin[id] > begin[id + 1])
      return malformed("the text of token " + std::to_string(id) + " begins at byte " +
                       std::to_string(begin[id]) + " and ends at " + std::to_string(begin[id + 1]));
  if (const auto offset = find_invalid_utf8(pool))
    return malformed("the pool is not UTF-8 at byte " + std::to_string(*offset));
  for (size_t id = 0; id + 1 < begin.size(); ++id)
    if (begin[id] < pool.size() && (static_cast<uint8_t>(pool[begin[id]]) & 0xC0) == 0x80)
      return malformed("the text of token " + std::to_string(id) + " begins inside a character");
  if (empty_id != kNone && (empty_id >= size_ || !text_of(empty_id).empty()))
    return malformed("token " + std::to_string(empty_id) + " is not the one without bytes");
  if (size_ > 0 && !contains(size_ - 1))
    return malformed("the last id, " + std::to_string(size_ - 1) + ", has no token");
  return {};
}

Result<void> Vocabulary::index() {
  size_t n_tokens = 0;
  for (int64_t id = 0; id < size_; ++id) n_tokens += contains(id) ? 1 : 0;
  size_t n_slots = 64;
  while (n_slots < 2 * n_tokens) n_slots *= 2;
  slots_.assign(n_slots, {0, kNone});
  for (uint32_t id = 0; id < size_; ++id) {
    if (!contains(id)) continue;
    const auto hash = static_cast<uint32_t>(seeded_hash(text_of(id)));
    Slot& slot = slots_[slot_of(text_of(id), hash)];
    if (slot.id != kNone) return malformed(in_quotes(text_of(id)) + " is there twice");
    slot = {hash, id};
  }
  return {};
}

size_t Vocabulary::slot_of(std::string_view text, uint32_t hash) const {
  const size_t mask = slots_.size() - 1;
  size_t slot = hash & mask;
  for (; slots_[slot].id != kNone; slot = (slot + 1) & mask)
    if (slots_[slot].hash == hash && text_of(slots_[slot].id) == text) break;
  return slot;
}

std::optional<int32_t> Vocabulary::find(std::string_view text) const {
  if (slots_.empty()) return std::nullopt;
  const auto hash = static_cast<uint32_t>(seeded_hash(text));
  const uint32_t id = slots_[slot_of(text, hash)].id;
  if (id == kNone) return std::nullopt;
  return static_cast<int32_t>(id);
}

bool Vocabulary::contains(int64_t id) const {
  if (id < 0 || id >= size_) return false;
  const auto i = static_cast<uint32_t>(id);
  return table_.begin[i] != table_.begin[i + 1u] || i == table_.empty_id;
}

std::string_view Vocabulary::text(int64_t id) const {
  return contains(id) ? text_of(static_cast<uint32_t>(id)) : std::string_view();
}

}  // namespace sqf

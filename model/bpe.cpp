#include "model/bpe.hpp"

#include <algorithm>
#include <cassert>

#include "format/text.hpp"

namespace sqf {
namespace {

constexpr char32_t kLowCodes = 0x180;  // holds the byte-level alphabet
constexpr uint64_t kFree = ~uint64_t{0};

uint64_t pair_key(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

std::string byte_token(int byte) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string text = "<0x00>";
  text[3] = kDigits[static_cast<size_t>(byte >> 4)];
  text[4] = kDigits[static_cast<size_t>(byte & 15)];
  return text;
}

/// The heap's top is the lowest rank and, among equals, the leftmost.
bool later(const Bpe::Candidate& a, const Bpe::Candidate& b) {
  return a.rank != b.rank ? a.rank > b.rank : a.at > b.at;
}

}  // namespace

void MergeTable::reserve(size_t n_merges) {
  size_t n_slots = 64;
  while (n_slots < 2 * n_merges) n_slots *= 2;
  slots_.assign(n_slots, {kFree, {}});
}

size_t MergeTable::slot_of(uint64_t key) const {
  const size_t mask = slots_.size() - 1;
  size_t slot = seeded_hash(key) & mask;
  while (slots_[slot].key != key && slots_[slot].key != kFree) slot = (slot + 1) & mask;
  return slot;
}

void MergeTable::add(int32_t left, int32_t right, Merge merge) {
  const uint64_t key = pair_key(left, right);
  Slot& slot = slots_[slot_of(key)];
  if (slot.key == kFree) ++n_merges_;
  assert(2 * n_merges_ <= slots_.size());
  slot = {key, merge};
}

const MergeTable::Merge* MergeTable::find(int32_t left, int32_t right) const {
  const Slot& slot = slots_[slot_of(pair_key(left, right))];
  return slot.key == kFree ? nullptr : &slot.merge;
}

Result<Bpe> Bpe::from_json(const Field& model, const Vocabulary& vocabulary,
                           const MergeList& merges) {
  Bpe bpe;
  if (auto read = bpe.read_options(model, vocabulary); !read) return read.error();
  if (auto listed = array_at(model, "merges"); !listed) return listed.error();
  if (auto read = bpe.read_merges(merges, vocabulary); !read) return read.error();
  bpe.low_ids_.assign(kLowCodes, -1);
  for (char32_t code = 0; code < kLowCodes; ++code) {
    std::string text;
    append_utf8(text, code);
    bpe.low_ids_[code] = vocabulary.find(text).value_or(-1);
  }
  return bpe;
}

Result<void> Bpe::read_options(const Field& model, const Vocabulary& vocabulary) {
  if (const Field dropout = model.find("dropout")) {
    if (!dropout->is_number()) return wrong_type(dropout, "a number");
    const auto* rate = dropout->get_ptr<const Json::number_float_t*>();
    if (rate != nullptr ? *rate != 0 : *dropout.json != 0)
      return unsupported("tokenizer.json: " + dropout.path + " is not implemented");
  }
  for (const std::string_view key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    auto affix = string_at(model, key, "");
    if (!affix) return affix.error();
    if (!affix->empty())
      return unsupported("tokenizer.json: model." + std::string(key) + " " + in_quotes(*affix) +
                         " is not implemented");
  }
  auto unknown = string_at(model, "unk_token", "");
  auto fuse = bool_at(model, "fuse_unk", false);
  auto fallback = bool_at(model, "byte_fallback", false);
  auto ignore = bool_at(model, "ignore_merges", false);
  if (!unknown) return unknown.error();
  if (!fuse) return fuse.error();
  if (!fallback) return fallback.error();
  if (!ignore) return ignore.error();
  unknown_ = *unknown;
  unknown_id_ = vocabulary.find(unknown_);
  fuse_unknown_ = *fuse;
  ignore_merges_ = *ignore;
  if (!*fallback) return {};
  byte_ids_.resize(256);
  for (int byte = 0; byte < 256; ++byte) {
    const auto id = vocabulary.find(byte_token(byte));
    if (!id)
      return malformed("tokenizer.json: model.byte_fallback is true but token " + byte_token(byte) +
                       " is not in model.vocab");
    byte_ids_[static_cast<size_t>(byte)] = *id;
  }
  return {};
}

Result<void> Bpe::read_merges(const MergeList& merges, const Vocabulary& vocabulary) {
  merges_.reserve(merges.size());
  int32_t next = 0;
  for (size_t i = 0; i < merges.size(); ++i) {
    const auto left = vocabulary.find(merges.left(i));
    const auto right = vocabulary.find(merges.right(i));
    // Ids mostly follow the order of merges, which saves looking every third token up.
    const bool in_order = vocabulary.text(next) == merges.merged(i) && vocabulary.contains(next);
    const auto merged = in_order ? std::optional(next) : vocabulary.find(merges.merged(i));
    if (!left || !right || !merged)
      return malformed("tokenizer.json: model.merges[" + std::to_string(i) + "] names " +
                       in_quotes(!left    ? merges.left(i)
                                 : !right ? merges.right(i)
                                          : merges.merged(i)) +
                       ", which is not in model.vocab");
    merges_.add(*left, *right, {static_cast<uint32_t>(i), *merged});
    next = *merged + 1;
  }
  return {};
}

Result<void> Bpe::split_characters(const Vocabulary& vocabulary, std::string_view piece,
                                   std::vector<Symbol>& symbols) const {
  symbols.clear();
  const auto put = [&](int32_t id) {
    const auto index = static_cast<int32_t>(symbols.size());
    symbols.push_back({id, index - 1, index + 1});
  };
  bool last_is_unknown = false;
  size_t at = 0;
  while (at < piece.size()) {
    const size_t begin = at;
    const char32_t code = next_char(piece, at);
    const std::string_view character = piece.substr(begin, at - begin);
    const int32_t id = code < kLowCodes ? low_ids_[code] : vocabulary.find(character).value_or(-1);
    if (id >= 0) {
      put(id);
      last_is_unknown = false;
    } else if (!byte_ids_.empty()) {
      for (const char byte : character) put(byte_ids_[static_cast<uint8_t>(byte)]);
    } else if (!unknown_.empty()) {
      if (!unknown_id_)
        return malformed("tokenizer.json: model.unk_token " + in_quotes(unknown_) +
                         " is needed for a character but is not in model.vocab");
      if (!(last_is_unknown && fuse_unknown_)) put(*unknown_id_);
      last_is_unknown = true;
    }
  }
  if (!symbols.empty()) symbols.back().next = -1;
  return {};
}

void Bpe::merge(Scratch& scratch) const {
  auto& symbols = scratch.symbols;
  auto& queue = scratch.queue;
  queue.clear();
  const auto consider = [&](int32_t left, int32_t right) {
    const auto* merge =
        merges_.find(symbols[static_cast<size_t>(left)].id, symbols[static_cast<size_t>(right)].id);
    if (merge != nullptr) queue.push_back({merge->rank, left, merge->merged});
    return merge != nullptr;
  };
  for (size_t i = 1; i < symbols.size(); ++i)
    consider(static_cast<int32_t>(i - 1), static_cast<int32_t>(i));
  std::make_heap(queue.begin(), queue.end(), later);
  while (!queue.empty()) {
    std::pop_heap(queue.begin(), queue.end(), later);
    const Candidate best = queue.back();
    queue.pop_back();
    Symbol& left = symbols[static_cast<size_t>(best.at)];
    if (left.id < 0 || left.next < 0) continue;
    Symbol& right = symbols[static_cast<size_t>(left.next)];
    // Entries are not removed when their symbols change. As in the reference implementation one
    // counts as current if the pair now there makes the same token, even at another rank.
    const auto* current = merges_.find(left.id, right.id);
    if (current == nullptr || current->merged != best.merged) continue;
    left.id = best.merged;
    left.next = right.next;
    right.id = -1;
    if (left.next >= 0) symbols[static_cast<size_t>(left.next)].previous = best.at;
    if (left.previous >= 0 && consider(left.previous, best.at))
      std::push_heap(queue.begin(), queue.end(), later);
    if (left.next >= 0 && consider(best.at, left.next))
      std::push_heap(queue.begin(), queue.end(), later);
  }
}

Result<void> Bpe::encode(const Vocabulary& vocabulary, std::string_view piece, Scratch& scratch,
                         std::vector<int32_t>& ids) const {
  if (ignore_merges_) {
    if (const auto id = vocabulary.find(piece)) {
      ids.push_back(*id);
      return {};
    }
  }
  if (auto split = split_characters(vocabulary, piece, scratch.symbols); !split) return split;
  merge(scratch);
  for (const Symbol& symbol : scratch.symbols)
    if (symbol.id >= 0) ids.push_back(symbol.id);
  return {};
}

}  // namespace sqf

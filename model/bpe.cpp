#include "model/bpe.hpp"

#include <algorithm>
#include <cassert>

#include "format/text.hpp"

namespace sqf {
namespace {

constexpr char32_t kLowCodes = 0x180;                     // holds the byte-level alphabet
constexpr uint64_t kOddMultiplier = 0x9E3779B97F4A7C15u;  // 2^64 over the golden ratio

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

Result<MergeTable> MergeTable::create(const MergeArrays& arrays, const Vocabulary& vocabulary) {
  const auto& [first, right, rank, merged] = arrays;
  const auto n_ids = static_cast<size_t>(vocabulary.size());
  assert(first.size() == n_ids + 1 && rank.size() == right.size() && merged.size() == right.size());
  if (first[0] != 0 || first[n_ids] != right.size())
    return malformed("the ids' merges are not the " + std::to_string(right.size()) + " there are");
  // Before an entry is read, it must be known that no range reaches past the last one.
  for (size_t left = 0; left < n_ids; ++left)
    if (first[left] > first[left + 1])
      return malformed("the merges of token " + std::to_string(left) + " begin at " +
                       std::to_string(first[left]) + " and end at " +
                       std::to_string(first[left + 1]));
  for (size_t left = 0; left < n_ids; ++left) {
    const size_t begin = first[left], end = first[left + 1];
    if (begin < end && !vocabulary.contains(static_cast<int64_t>(left)))
      return malformed("id " + std::to_string(left) + " has merges but no token");
    for (size_t i = begin; i < end; ++i) {
      if (!vocabulary.contains(right[i]) || !vocabulary.contains(merged[i]))
        return malformed("merge " + std::to_string(i) + " is of ids " + std::to_string(left) +
                         " and " + std::to_string(right[i]) + " to " + std::to_string(merged[i]) +
                         ", which are not all tokens");
      if (i > begin && right[i - 1] >= right[i])
        return malformed("merge " + std::to_string(i) + " of token " + std::to_string(left) +
                         " is out of order");
    }
  }
  MergeTable table;
  table.arrays_ = arrays;
  return table;
}

MergeTable::Merge MergeTable::find(int32_t left, int32_t right) const {
  const uint32_t* first = arrays_.first.data() + left;
  const uint32_t* found = arrays_.right.data() + first[0];
  const auto wanted = static_cast<uint32_t>(right);
  // Written so that the compiler makes it a conditional move: where it goes cannot be predicted.
  for (uint32_t n = first[1] - first[0]; n > 1;) {
    const uint32_t half = n / 2;
    found = found[half] <= wanted ? found + half : found;
    n -= half;
  }
  const auto at = static_cast<size_t>(found - arrays_.right.data());
  if (at == first[1] || *found != wanted) return {0, -1};
  return {arrays_.rank[at], static_cast<int32_t>(arrays_.merged[at])};
}

Result<Bpe> Bpe::from_json(const Field& model, const Vocabulary& vocabulary,
                           const MergeTable& merges) {
  Bpe bpe;
  if (auto read = bpe.read_options(model, vocabulary); !read) return read.error();
  bpe.merges_ = merges;
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

MergeTable::Merge Bpe::look_up(Scratch& scratch, int32_t left, int32_t right) const {
  const uint64_t pair = static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right);
  Looked& looked = scratch.looked[pair * kOddMultiplier >> (64 - kLookedBits)];
  if (looked.left != left || looked.right != right)
    looked = {left, right, merges_.find(left, right)};
  return looked.merge;
}

void Bpe::merge(Scratch& scratch) const {
  auto& symbols = scratch.symbols;
  auto& queue = scratch.queue;
  queue.clear();
  const auto consider = [&](int32_t left, int32_t right) {
    const auto merge = look_up(scratch, symbols[static_cast<size_t>(left)].id,
                               symbols[static_cast<size_t>(right)].id);
    if (merge.merged >= 0) queue.push_back({merge.rank, left, merge.merged});
    return merge.merged >= 0;
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
    if (look_up(scratch, left.id, right.id).merged != best.merged) continue;
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

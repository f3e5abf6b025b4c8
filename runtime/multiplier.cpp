#include "runtime/multiplier.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "runtime/cpu/matmul.hpp"
#include "runtime/cpu/ops.hpp"
#include "runtime/low_rank.hpp"

namespace sqf {
namespace {

/// For the integer kernels, which take -128..127: q of 8 asymmetric bits is shifted.
IntegerGrid grid_of(const ColumnSetRecord& set, ActivationScale scale) {
  const IntegerRange range = integers_of(set);
  return {scale.scale, scale.low, range.lowest, range.highest, range.highest > 127 ? 128 : 0};
}

/// What a zero of the shifted q stands for: the product gets this times the sum of the weights.
float offset_of(const IntegerGrid& grid) {
  return grid.low + grid.scale * static_cast<float>(grid.shift);
}

/// The next of the kept ones.
template <typename T>
T& take(std::vector<std::unique_ptr<T>>* kept, size_t* used) {
  if (*used == kept->size()) kept->push_back(std::make_unique<T>());
  return *(*kept)[(*used)++];
}

template <typename T>
void grow(std::vector<T>* values, int64_t size) {
  if (values->size() < static_cast<size_t>(size)) values->resize(static_cast<size_t>(size));
}

bool quantizes(const Feed* feed) {
  return feed != nullptr && feed->quantizes();
}

/// One token: divided, gathered and scaled.
void move_columns(const Feed& feed, const float* from, float* to) {
  const uint32_t* places = feed.gather.data();
  const float* smooth = feed.smooth;
  if (feed.gather.empty()) {
    if (smooth == nullptr) std::copy(from, from + feed.count, to);
    if (smooth != nullptr)
      for (int64_t i = 0; i < feed.count; i++) to[i] = from[i] / smooth[i];
  } else {
    for (int64_t i = 0; i < feed.count; i++) to[i] = from[places[i]];
    if (smooth != nullptr)
      for (int64_t i = 0; i < feed.count; i++) to[i] = to[i] / smooth[places[i]];
  }
  if (feed.factors != nullptr)
    for (int64_t i = 0; i < feed.count; i++) to[i] = to[i] * feed.factors[i];
}

/// Bytes up to which one token's B xh is not worth waking anybody for.
constexpr int64_t kNarrowAlone = 1 << 16;

int64_t narrow_bytes(const Linear& linear) {
  return linear.b.rows * linear.b.columns * (linear.b.scales == nullptr ? 2 : 1);
}

Slice rows_of_share(int64_t rows, int share, int shares) {
  Slice slice(tiles_of(rows), share, shares);
  slice.begin *= kTileRows;
  slice.end = std::min(slice.end * kTileRows, rows);
  return slice;
}

}  // namespace

bool Multiplier::integer(const LinearPart& part) const {
  if (!has_integer_kernel(part.weight.encoding)) return false;
  if (quantizes(part.feed)) return part.feed->set.quantizer == QuantizerKind::integer;
  return !exact_;
}

size_t Multiplier::source_of(const Feed* feed, int64_t columns) {
  for (size_t i = 0; i < source_count_; i++)
    if (sources_[i]->feed == feed) return i;
  Source& source = take(&sources_, &source_count_);
  source.feed = feed;
  source.count = feed != nullptr ? feed->count : columns;
  source.values = x_;
  if (feed != nullptr && feed->moves()) {
    grow(&source.moved, tokens_ * source.count);
    source.values = source.moved.data();
  }
  if (quantizes(feed)) grow(&source.ranges, tokens_);
  return source_count_ - 1;
}

Multiplier::Form* Multiplier::find_form(const Feed* feed, bool integer, uint32_t group) const {
  for (size_t i = 0; i < form_count_; i++) {
    Form* form = forms_[i].get();
    if (sources_[form->source]->feed == feed && form->integer == integer &&
        (!integer || form->group == group))
      return form;
  }
  return nullptr;
}

Multiplier::Room* Multiplier::find_room(const Linear& linear) const {
  for (size_t i = 0; i < room_count_; i++)
    if (rooms_[i]->linear == &linear) return rooms_[i].get();
  return nullptr;
}

void Multiplier::add_form(const Feed* feed, int64_t columns, bool integer, uint32_t group) {
  if (find_form(feed, integer, group) != nullptr) return;
  const size_t index = source_of(feed, columns);
  const Source& source = *sources_[index];
  Form& form = take(&forms_, &form_count_);
  form.source = index;
  form.integer = integer;
  form.group = group;
  form.values = source.values;
  if (integer) {
    shape_input(tokens_, source.count, group, &form.quantized);
    grow(&form.offsets, tokens_);
  } else if (quantizes(feed)) {
    grow(&form.rounded, tokens_ * source.count);
    form.values = form.rounded.data();
  }
}

void Multiplier::add_room(const Linear& linear) {
  if (find_room(linear) != nullptr) return;
  Room& room = take(&rooms_, &room_count_);
  room.linear = &linear;
  grow(&room.narrow, tokens_ * linear.b.rows);
  const auto integers = std::count_if(linear.parts.begin(), linear.parts.end(),
                                      [&](const LinearPart& part) { return integer(part); });
  if (integers > 1) grow(&room.partial, tokens_ * linear.rows);
}

void Multiplier::collect(const Linear& linear) {
  for (const LinearPart& part : linear.parts)
    add_form(part.feed, linear.columns, integer(part), part.weight.encoding.group);
  if (linear.has_low_rank()) add_form(linear.low_rank_feed, linear.columns, false, 0);
  if (linear.has_low_rank() || linear.parts.size() > 1) add_room(linear);
}

/// One token of a feed's numbers: divided, gathered and scaled, and how far they reach.
void Multiplier::stage(Source& source, const float* x, int64_t columns, int64_t token) const {
  const Feed* feed = source.feed;
  if (feed == nullptr) return;
  if (feed->moves())
    move_columns(*feed, x + token * columns, source.moved.data() + token * source.count);
  if (feed->quantizes())
    source.ranges[static_cast<size_t>(token)] =
        activation_range(isa_, source.values + token * source.count, source.count);
}

void Multiplier::convert(Form& form, int64_t token) const {
  const Source& source = *sources_[form.source];
  const float* values = source.values + token * source.count;
  if (!quantizes(source.feed)) {
    if (form.integer)
      quantize_tokens(isa_, source.values, source.count, token, token + 1, &form.quantized);
    return;
  }
  const ColumnSetRecord& set = source.feed->set;
  const auto at = static_cast<size_t>(token);
  const ActivationScale scale = scale_of(set, source.ranges[at]);
  if (form.integer) {
    const IntegerGrid grid = grid_of(set, scale);
    quantize_token_to(isa_, grid, values, token, &form.quantized);
    form.offsets[at] = offset_of(grid);
    return;
  }
  float* rounded = form.rounded.data() + token * source.count;
  std::copy(values, values + source.count, rounded);
  round_activation(set, scale, rounded, source.count);
}

void Multiplier::narrow(Room& room, int share, int shares) const {
  const Linear& linear = *room.linear;
  if (!linear.has_low_rank()) return;
  const Slice rows = rows_of_share(linear.b.rows, share, shares);
  const Form& form = *find_form(linear.low_rank_feed, false, 0);
  multiply_factor(isa_, linear.b, form.values, tokens_, rows, room.narrow.data(), linear.b.rows,
                  false);
}

void Multiplier::prepare(std::span<const Linear* const> readers, const float* x, int64_t tokens) {
  source_count_ = form_count_ = room_count_ = 0;
  x_ = x;
  tokens_ = tokens;
  for (const Linear* linear : readers) collect(*linear);
  bool staged = false, whole = false, converted = false;
  for (size_t i = 0; i < source_count_; i++) {
    const Feed* feed = sources_[i]->feed;
    staged |= feed != nullptr;
    whole |= quantizes(feed) && feed->set.per_tensor != 0;
  }
  for (size_t i = 0; i < form_count_; i++) converted |= forms_[i]->integer;
  if (!staged && !converted && room_count_ == 0) return;

  const int64_t columns = readers[0]->columns;
  const auto share_out = [&](const auto& work) {
    // One token is not worth waking anybody for.
    if (tokens == 1)
      work(Slice(tokens, 0, 1));
    else
      pool_->run([&](int share, int shares) { work(Slice(tokens, share, shares)); });
  };
  const auto stage_all = [&](const Slice& slice) {
    for (size_t i = 0; i < source_count_; i++)
      for (int64_t t = slice.begin; t < slice.end; t++) stage(*sources_[i], x, columns, t);
  };
  const auto convert_all = [&](const Slice& slice) {
    for (size_t i = 0; i < form_count_; i++)
      for (int64_t t = slice.begin; t < slice.end; t++) convert(*forms_[i], t);
  };
  if (whole && tokens > 1) {
    share_out(stage_all);
    for (size_t i = 0; i < source_count_; i++) {
      Source& source = *sources_[i];
      if (!quantizes(source.feed) || source.feed->set.per_tensor == 0) continue;
      ActivationRange all = source.ranges[0];
      for (int64_t t = 1; t < tokens; t++) all = join(all, source.ranges[static_cast<size_t>(t)]);
      std::fill_n(source.ranges.begin(), tokens, all);
    }
    share_out(convert_all);
  } else {
    share_out([&](const Slice& slice) {
      stage_all(slice);
      convert_all(slice);
    });
  }
  int64_t bytes = 0;
  for (const Linear* linear : readers) bytes += narrow_bytes(*linear);
  if (bytes == 0) return;
  const auto narrow_all = [&](int share, int shares) {
    for (size_t i = 0; i < room_count_; i++) narrow(*rooms_[i], share, shares);
  };
  if (tokens == 1 && bytes <= kNarrowAlone)
    narrow_all(0, 1);
  else
    pool_->run(narrow_all);
}

void Multiplier::add_rows(const float* from, int64_t rows, Slice slice, float* y) const {
  for (int64_t t = 0; t < tokens_; t++)
    add(from + t * rows + slice.begin, slice.end - slice.begin, y + t * rows + slice.begin);
}

void Multiplier::multiply_integers(const LinearPart& part, float* y, int share, int shares) const {
  const PartView& w = part.weight;
  const Form& form = *find_form(part.feed, true, w.encoding.group);
  const Slice tiles(tiles_of(w.rows), share, shares);
  matmul(isa_, w, form.quantized, tiles.begin, tiles.end, y, w.rows);
  if (part.weight_sums.empty()) return;
  const Slice rows = rows_of_share(w.rows, share, shares);
  for (int64_t t = 0; t < tokens_; t++) {
    const float offset = form.offsets[static_cast<size_t>(t)];
    const float* sums = part.weight_sums.data();
    float* to = y + t * w.rows;
    for (int64_t row = rows.begin; row < rows.end; row++) to[row] += offset * sums[row];
  }
}

void Multiplier::multiply(const Linear& linear, float* y, int share, int shares) const {
  const Slice rows = rows_of_share(linear.rows, share, shares);
  if (rows.begin >= rows.end) return;
  Room* room = find_room(linear);
  const Slice tiles(tiles_of(linear.rows), share, shares);
  // Only the integer kernels cannot add to what is there, so theirs come first.
  bool written = false;
  for (const LinearPart& part : linear.parts) {
    if (!integer(part)) continue;
    float* to = written ? room->partial.data() : y;
    multiply_integers(part, to, share, shares);
    if (written) add_rows(to, linear.rows, rows, y);
    written = true;
  }
  for (const LinearPart& part : linear.parts) {
    if (integer(part)) continue;
    const Form& form = *find_form(part.feed, false, 0);
    matmul_f32(isa_, part.weight, form.values, tokens_, part.weight.columns, tiles.begin, tiles.end,
               y, linear.rows, written);
    written = true;
  }
  if (linear.has_low_rank())
    multiply_factor(isa_, linear.a, room->narrow.data(), tokens_, rows, y, linear.rows, true);
  if (linear.bias == nullptr) return;
  for (int64_t t = 0; t < tokens_; t++)
    add(linear.bias + rows.begin, rows.end - rows.begin, y + t * linear.rows + rows.begin);
}

}  // namespace sqf

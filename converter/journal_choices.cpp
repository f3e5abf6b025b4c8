// The choices of a journal: all of them, once a search is through; site by site until then.

#include <algorithm>
#include <cmath>
#include <cstring>

#include "converter/journal.hpp"
#include "converter/journal_file.hpp"
#include "loader/mapping.hpp"

namespace sqf {
namespace {

/// Counts and numbers of one input, in the order of the file.
struct ChoiceHead {
  uint64_t smooth, outliers;
  double static_scale, alpha, loss_before, loss_after;
};

bool is_size(double value) {
  return std::isfinite(value) && value >= 0;
}

/// One input's choice from the front of `bytes`, if it is one that the plan could have.
std::optional<InputChoice> take_choice(const InputPlan& in, std::span<const std::byte>& bytes) {
  ChoiceHead head;
  if (bytes.size() < sizeof head) return std::nullopt;
  std::memcpy(&head, bytes.data(), sizeof head);
  bytes = bytes.subspan(sizeof head);
  const auto columns = static_cast<uint64_t>(in.columns);
  if (head.smooth != (in.smooth != SmoothState::none ? columns : 0) ||
      head.outliers != static_cast<uint64_t>(in.outliers) ||
      bytes.size() / 4 < head.smooth + head.outliers)
    return std::nullopt;
  InputChoice choice;
  choice.smooth.resize(head.smooth);
  choice.outliers.resize(head.outliers);
  // An empty vector has no place that memcpy may be given.
  if (head.smooth > 0) std::memcpy(choice.smooth.data(), bytes.data(), 4 * head.smooth);
  if (head.outliers > 0)
    std::memcpy(choice.outliers.data(), bytes.data() + 4 * head.smooth, 4 * head.outliers);
  bytes = bytes.subspan(4 * (head.smooth + head.outliers));
  choice.static_scale = static_cast<float>(head.static_scale);
  choice.alpha = head.alpha;
  choice.loss_before = head.loss_before;
  choice.loss_after = head.loss_after;
  const bool scaled = in.activation.is_static ? choice.static_scale > 0 : head.static_scale == 0;
  const bool ascending =
      std::ranges::adjacent_find(choice.outliers, std::greater_equal()) == choice.outliers.end();
  const bool inside = choice.outliers.empty() || choice.outliers.back() < columns;
  const bool factors =
      std::ranges::all_of(choice.smooth, [](float f) { return std::isfinite(f) && f > 0; });
  if (!scaled || !ascending || !inside || !factors || !is_size(choice.static_scale) ||
      !is_size(head.alpha) || !is_size(head.loss_before) || !is_size(head.loss_after))
    return std::nullopt;
  return choice;
}

void put_choice(const InputChoice& c, std::vector<std::byte>* bytes) {
  const auto put = [&](auto span) {
    const auto raw = std::as_bytes(span);
    bytes->insert(bytes->end(), raw.begin(), raw.end());
  };
  const ChoiceHead head = {c.smooth.size(), c.outliers.size(), c.static_scale,
                           c.alpha,         c.loss_before,     c.loss_after};
  put(std::span(&head, 1));
  put(std::span(c.smooth));
  put(std::span(c.outliers));
}

/// The name of a site's record, which no tensor has.
std::string site_name(size_t input) {
  return "input " + std::to_string(input);
}

}  // namespace

std::optional<std::vector<InputChoice>> Journal::choices(const Plan& plan) const {
  auto mapping = Mapping::open(folder_ / "inputs");
  if (!mapping) return std::nullopt;
  const auto sealed = open_sealed(mapping->bytes());
  if (!sealed || sealed->key != key_hash_) return std::nullopt;
  auto rest = sealed->payload;
  std::vector<InputChoice> out;
  for (const InputPlan& in : plan.inputs) {
    auto choice = take_choice(in, rest);
    if (!choice) return std::nullopt;
    out.push_back(std::move(*choice));
  }
  if (!rest.empty()) return std::nullopt;
  return out;
}

Result<void> Journal::keep_choices(std::span<const InputChoice> choices) {
  std::vector<std::byte> bytes;
  for (const InputChoice& choice : choices) put_choice(choice, &bytes);
  return save("inputs", 0, bytes);
}

Result<std::optional<InputChoice>> Journal::site(const Plan& plan, size_t input) const {
  const std::string name = site_name(input);
  if (!records_.contains(name)) return std::optional<InputChoice>();
  auto record = read_record(name);
  if (!record) return record.error();
  auto rest = record_components(*record);
  auto choice = take_choice(plan.inputs[input], rest);
  if (!choice || !rest.empty()) return other_record(name, "is not of this plan");
  return choice;
}

Result<void> Journal::keep_site(size_t input, const InputChoice& choice) {
  std::vector<std::byte> bytes;
  put_choice(choice, &bytes);
  return add_record(site_name(input), {}, {bytes});
}

}  // namespace sqf

#include "format/json.hpp"

#include "format/json_builder.hpp"
#include "format/text.hpp"

namespace sqf {
namespace {

constexpr int kNumberOverflow = 406;  // nlohmann's out_of_range.406

}  // namespace

Result<void> JsonBuilder::read(std::string_view text) {
  nlohmann::json_sax<Json>* sax = this;
  if (text.starts_with("\xEF\xBB\xBF"))
    fail("starts with a byte order mark");
  else if (const size_t at = text.find('\0'); at != text.npos)  // the parser would stop there
    fail("not valid JSON at byte " + std::to_string(at) + ": a NUL byte");
  else if (!Json::sax_parse(text.begin(), text.end(), sax))
    fail("not valid JSON");
  if (problem_) return *problem_;
  return {};
}

bool JsonBuilder::key(string_t& name) {
  const auto [member, is_new] = open_.back()->emplace(name, nullptr);
  slot_ = &*member;
  return is_new || fail("duplicate key " + in_quotes(name));
}

bool JsonBuilder::parse_error(size_t position, const std::string& token,
                              const nlohmann::detail::exception& reason) {
  if (reason.id == kNumberOverflow) return fail("number " + in_quotes(token) + " is out of range");
  return fail("not valid JSON at byte " + std::to_string(position) + " near " + in_quotes(token));
}

bool JsonBuilder::put(Json value) {
  return place(std::move(value)) != nullptr;
}

bool JsonBuilder::fail(const std::string& why) {
  if (!problem_) problem_ = malformed(what_ + ": " + why);
  return false;
}

bool JsonBuilder::open(Json empty) {
  if (open_.size() == limits_.depth)
    return fail("nesting deeper than " + std::to_string(limits_.depth));
  Json* container = place(std::move(empty));
  if (container != nullptr) open_.push_back(container);
  return container != nullptr;
}

bool JsonBuilder::close() {
  open_.pop_back();
  return true;
}

Json* JsonBuilder::place(Json value) {
  if (values_++ == limits_.values) {
    fail("more than " + std::to_string(limits_.values) + " values");
    return nullptr;
  }
  if (open_.empty()) {
    root = std::move(value);
    return &root;
  }
  if (open_.back()->is_array()) {
    open_.back()->push_back(std::move(value));
    return &open_.back()->back();
  }
  *slot_ = std::move(value);
  return slot_;
}

Result<Json> parse_json(std::string_view text, std::string_view what, JsonLimits limits) {
  JsonBuilder builder(what, limits);
  if (auto done = builder.read(text); !done) return done.error();
  return std::move(builder.root);
}

}  // namespace sqf

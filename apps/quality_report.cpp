#include "apps/quality_report.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <span>
#include <vector>

#include "apps/report_page.hpp"
#include "format/pending_file.hpp"

namespace sqf {
namespace {

constexpr size_t kEvery = 24;     // ranks that are all shown; from there on they grow by a twelfth
constexpr size_t kOutliers = 48;  // marked in a plot, the largest ones

/// Null where there is none, or another type.
const Json* member(const Json& json, const char* key) {
  if (!json.is_object()) return nullptr;
  const auto at = json.find(key);
  return at != json.end() && !at->is_null() ? &*at : nullptr;
}

/// Nothing reads four digits off a plot.
double rounded(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return std::strtod(text, nullptr);
}

std::vector<double> numbers(const Json* array) {
  std::vector<double> out;
  if (array == nullptr || !array->is_array()) return out;
  for (const Json& value : *array) out.push_back(value.is_number() ? value.get<double>() : 0);
  return out;
}

/// Channels by size, the largest first.
std::vector<size_t> by_size(const std::vector<double>& channels) {
  std::vector<size_t> order(channels.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return channels[a] > channels[b]; });
  return order;
}

/// Ranks, from 1, at which a curve is drawn: dense where the few large channels are.
std::vector<size_t> ranks(size_t count) {
  std::vector<size_t> out;
  for (size_t rank = 1; rank < count; rank += rank < kEvery ? 1 : std::max<size_t>(rank / 12, 1))
    out.push_back(rank);
  if (count > 0) out.push_back(count);
  return out;
}

/// A range whose channels became a curve by rank.
Json thin_range(const Json& range, const std::vector<double>& channels) {
  Json out = range;
  if (!out.is_object()) return nullptr;
  out.erase("abs_max");
  if (channels.empty()) return out;
  const std::vector<size_t> order = by_size(channels);
  Json rank_json = Json::array(), values = Json::array();
  for (const size_t rank : ranks(channels.size())) {
    rank_json.push_back(rank);
    values.push_back(rounded(channels[order[rank - 1]]));
  }
  out["ranks"] = std::move(rank_json);
  out["values"] = std::move(values);
  return out;
}

/// [{column, rank, before, after}], the largest first.
Json thin_outliers(const Json& columns, const std::vector<double>& before,
                   const std::vector<double>& after) {
  Json out = Json::array();
  std::vector<bool> marked(before.size());
  for (const Json& column : columns)
    if (column.is_number_integer() && column.get<int64_t>() >= 0 &&
        column.get<uint64_t>() < before.size())
      marked[column.get<size_t>()] = true;
  const std::vector<size_t> order = by_size(before);
  for (size_t rank = 0; rank < order.size() && out.size() < kOutliers; rank++) {
    const size_t column = order[rank];
    if (!marked[column]) continue;
    Json one = {{"column", column}, {"rank", rank + 1}, {"before", rounded(before[column])}};
    if (column < after.size()) one["after"] = rounded(after[column]);
    out.push_back(std::move(one));
  }
  return out;
}

Json thin_input(const Json& input) {
  if (!input.is_object()) return nullptr;
  const Json *range_before = member(input, "range_before"),
             *range_after = member(input, "range_after"), *outliers = member(input, "outliers");
  std::vector<double> before, after;
  if (range_before != nullptr) before = numbers(member(*range_before, "abs_max"));
  if (range_after != nullptr) after = numbers(member(*range_after, "abs_max"));
  Json out = Json::object();
  for (const auto& [key, value] : input.items())
    if (key != "range_before" && key != "range_after" && key != "outliers") out[key] = value;
  if (range_before != nullptr) out["range_before"] = thin_range(*range_before, before);
  if (range_after != nullptr) out["range_after"] = thin_range(*range_after, after);
  if (outliers != nullptr && outliers->is_array()) {
    out["outlier_count"] = outliers->size();
    out["outliers"] = thin_outliers(*outliers, before, after);
  }
  return out;
}

/// What the page reads: the report with thinned channels.
Json page_data(const Json& report) {
  Json out = Json::object();
  if (!report.is_object()) return out;
  for (const auto& [key, value] : report.items()) {
    if (key != "inputs" || !value.is_array()) {
      out[key] = value;
      continue;
    }
    out[key] = Json::array();
    for (const Json& input : value) out[key].push_back(thin_input(input));
  }
  return out;
}

/// JSON that cannot end the element it stands in: no "</script>", no "<!--". '<' occurs in
/// strings alone. Bytes that are not UTF-8 become U+FFFD.
std::string embedded(const Json& json) {
  std::string out;
  for (const char c : json.dump(-1, ' ', false, Json::error_handler_t::replace))
    c == '<' ? out += "\\u003c" : out += c;
  return out;
}

/// `page` with `text` in place of its only `mark`.
std::string put(std::string page, std::string_view mark, std::string_view text) {
  return page.replace(page.find(mark), mark.size(), text);
}

}  // namespace

std::string report_page(const Json& report) {
  // The data last: what it holds is not looked at again.
  std::string page = put(kPageHtml, "<!--style-->", kPageStyle);
  page = put(std::move(page), "<!--script-->", kPageScript);
  return put(std::move(page), "<!--data-->", embedded(page_data(report)));
}

Result<void> check_report_name(const std::filesystem::path& path) {
  if (path.extension() == ".html" || path.extension() == ".json") return {};
  return usage_error("report " + path.string() + ": a name that ends with .html or .json");
}

Result<void> write_report(const Json& report, const std::filesystem::path& path, bool replace) {
  if (auto r = check_report_name(path); !r) return r;
  const std::string text = path.extension() == ".html"
                               ? report_page(report)
                               : report.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
  auto file = PendingFile::create(path, text.size(), replace);
  if (!file) return file.error();
  if (auto r = file->write(std::as_bytes(std::span(text)), 0); !r) return r;
  if (auto r = file->sync(); !r) return r;
  return file->put_in_place();
}

}  // namespace sqf

// The tensors of a file as a tree of the parts of their names. The tree is never built: tensors are
// sorted by the parts of their names, numbers by value, and a node is a range of them.

#include <algorithm>
#include <cstdio>

#include "apps/sqcheck.hpp"

namespace sqf {
namespace {

struct Line {
  std::string name, shape, encoding, bits, size;
};

/// Columns on the screen, if no character is wide.
size_t width(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

bool is_number(std::string_view text) {
  return !text.empty() && text.size() <= 9 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; }) &&
         (text.size() == 1 || text[0] != '0');
}
int64_t number_of(std::string_view text) {
  int64_t value = 0;
  for (const char c : text) value = 10 * value + (c - '0');
  return value;
}

/// The part of a name that starts at `at`, up to the next dot.
std::string_view part_at(std::string_view name, size_t at) {
  return name.substr(at, name.find('.', at) - at);
}

/// Numbers by value and before words; a name before those that it begins.
bool before(std::string_view a, std::string_view b) {
  size_t at = 0;
  while (at < a.size() && at < b.size()) {
    const std::string_view x = part_at(a, at), y = part_at(b, at);
    if (x != y) {
      const bool nx = is_number(x), ny = is_number(y);
      if (nx && ny) return number_of(x) < number_of(y);
      return nx != ny ? nx : x < y;
    }
    at += x.size() + 1;
  }
  return a.size() < b.size();
}

class Tree {
 public:
  Tree(const Directory& d, std::span<const Ranges> ranges, bool all)
      : d_(d), ranges_(ranges), all_(all || !ranges.empty()), utf8_(speaks_utf8()) {
    for (size_t i = 0; i < d.tensors.size(); i++) {
      order_.push_back(i);
      bytes_.push_back(stored_bytes(d, d.tensors[i]));
    }
    std::stable_sort(order_.begin(), order_.end(),
                     [&](size_t a, size_t b) { return before(name(a), name(b)); });
  }

  std::vector<Line> lines() {
    for (const Node& node : nodes_of({0, order_.size(), 0}, 0)) add(node, "", "");
    return std::move(lines_);
  }

 private:
  /// Tensors begin .. end - 1 in order; their names agree up to `named`, where the next part is.
  struct Node {
    size_t begin, end, named;
    std::string label = {};
    size_t runs = 1;  ///< like nodes that it stands for; begin .. end is the first of them
  };

  std::string_view name(size_t tensor) const { return d_.name(d_.tensors[tensor]); }
  std::string_view name_at(size_t i) const { return name(order_[i]); }
  const TensorRecord& record(size_t i) const { return d_.tensors[order_[i]]; }

  /// Children of the node, from tensor `first` on.
  std::vector<Node> nodes_of(const Node& parent, size_t first) const {
    std::vector<Node> nodes;
    int64_t last = -1;  // the number of the last one
    for (size_t i = first; i < parent.end;) {
      const std::string_view part = part_at(name_at(i), parent.named);
      Node node = {i, i, parent.named + part.size() + 1};
      while (node.end < parent.end && part_at(name_at(node.end), parent.named) == part) node.end++;
      i = node.end;
      const bool next = is_number(part) && number_of(part) == last + 1 && !nodes.empty();
      last = is_number(part) ? number_of(part) : -1;
      if (next && !all_ && alike(nodes.back(), node)) {
        nodes.back().runs++;
        continue;
      }
      node.label = shown(part);
      nodes.push_back(node);
    }
    for (Node& node : nodes) {
      if (node.runs > 1)
        node.label +=
            ".." + std::to_string(number_of(node.label) + static_cast<int64_t>(node.runs) - 1);
      else
        lengthen(node);
    }
    return nodes;
  }

  /// A node with one child and no tensor of its own takes the child's name on.
  void lengthen(Node& node) const {
    while (node.named < name_at(node.begin).size()) {
      const std::string_view part = part_at(name_at(node.begin), node.named);
      if (part_at(name_at(node.end - 1), node.named) != part) return;
      node.label += "." + shown(part);
      node.named += part.size() + 1;
    }
  }

  /// The same tensors under another number.
  bool alike(const Node& a, const Node& b) const {
    if (a.end - a.begin != b.end - b.begin) return false;
    for (size_t i = 0; i < a.end - a.begin; i++) {
      const std::string_view x = name_at(a.begin + i), y = name_at(b.begin + i);
      if (x.substr(std::min(a.named, x.size())) != y.substr(std::min(b.named, y.size())))
        return false;
      if (cells(a.begin + i) != cells(b.begin + i)) return false;
    }
    return true;
  }

  /// Everything that the tree shows of a tensor beside its name.
  std::vector<std::string> cells(size_t i) const {
    const TensorRecord& t = record(i);
    const uint64_t bytes = bytes_[order_[i]];
    std::vector<std::string> out = {shape_text(t), "", bits(bytes, element_count(t)),
                                    megabytes(bytes)};
    const PartRecord* parts = &d_.parts[t.part_first];
    out[1] = encoding_text(parts[0].encoding);
    if (t.part_count > 1) {
      out[1] = std::to_string(t.part_count) + " column parts";
      std::string text;
      for (uint32_t p = 0; p < t.part_count; p++)
        text += (p > 0 ? " + " : "") + std::to_string(part_columns(d_, t, parts[p])) + " columns " +
                encoding_text(parts[p].encoding);
      out.push_back(text);
    }
    if (const std::string extras = extras_text(d_, t); !extras.empty())
      out.push_back("with " + extras);
    return out;
  }

  std::string encoding_text(uint32_t index) const {
    return "#" + std::to_string(index) + " " + short_words(d_.encodings[index]);
  }

  static std::string bits(uint64_t bytes, uint64_t weights) {
    char text[32];
    std::snprintf(text, sizeof text, "%.2f", bits_per_weight(bytes, weights));
    return text;
  }

  std::string ranges_text(const Ranges& r) const {
    char text[240], scales[80] = "", bad[60] = "";
    if (r.has_scales)
      std::snprintf(scales, sizeof scales, "; scales %.3g .. %.3g", r.scale_low, r.scale_high);
    if (r.non_finite > 0)
      std::snprintf(bad, sizeof bad, "; %llu NOT FINITE",
                    static_cast<unsigned long long>(r.non_finite));
    std::snprintf(text, sizeof text, "%.4g .. %.4g, mean |w| %.3g, %.2g %% zeros%s%s", r.low,
                  r.high, r.mean_abs, 100 * r.zeros, scales, bad);
    return text;
  }

  /// `guide` leads to the node's own line, `below` to the lines under it.
  void add(const Node& node, const std::string& guide, const std::string& below) {
    const bool is_tensor = node.named > name_at(node.begin).size();
    Line line = {guide + node.label, "", "", "", ""};
    std::vector<std::string> notes;
    if (is_tensor) {
      const std::vector<std::string> c = cells(node.begin);
      line = {line.name, c[0], c[1], c[2], c[3]};
      notes.assign(c.begin() + 4, c.end());
      if (!ranges_.empty()) notes.push_back(ranges_text(ranges_[order_[node.begin]]));
    } else {
      uint64_t bytes = 0, weights = 0;
      for (size_t i = node.begin; i < node.end; i++) {
        bytes += bytes_[order_[i]];
        weights += element_count(record(i));
      }
      line.bits = bits(bytes, weights);
      line.size = megabytes(bytes * node.runs);
    }
    if (node.runs > 1 && is_tensor)
      line.name += " (" + std::to_string(node.runs) + " alike)";
    else if (node.runs > 1)
      line.shape = std::to_string(node.runs) + " alike; one of them:";
    lines_.push_back(line);
    const std::vector<Node> children = nodes_of(node, node.begin + (is_tensor ? 1 : 0));
    for (const std::string& note : notes)
      lines_.push_back({below + (children.empty() ? "   " : bar()) + note, "", "", "", ""});
    for (size_t i = 0; i < children.size(); i++) {
      const bool last = i + 1 == children.size();
      add(children[i], below + (last ? corner() : fork()), below + (last ? "   " : bar()));
    }
  }

  const char* fork() const { return utf8_ ? "├─ " : "|- "; }
  const char* corner() const { return utf8_ ? "└─ " : "`- "; }
  const char* bar() const { return utf8_ ? "│  " : "|  "; }

  const Directory& d_;
  std::span<const Ranges> ranges_;
  bool all_, utf8_;
  std::vector<size_t> order_;    ///< tensors by their names
  std::vector<uint64_t> bytes_;  ///< stored, by tensor
  std::vector<Line> lines_;
};

}  // namespace

void print_tree(const Directory& directory, std::span<const Ranges> ranges, bool all) {
  std::vector<Line> lines = Tree(directory, ranges, all).lines();
  lines.insert(lines.begin(), {"tensors", "shape", "encoding", "bits/w", "stored"});
  size_t names = 0, shapes = 0, encodings = 0;
  for (const Line& line : lines) {
    if (line.size.empty()) continue;  // a note
    names = std::max(names, std::min<size_t>(width(line.name), 44));
    if (line.encoding.empty()) continue;  // the shape's place is free to run on
    shapes = std::max(shapes, std::min<size_t>(width(line.shape), 20));
    encodings = std::max(encodings, std::min<size_t>(width(line.encoding), 28));
  }
  for (const Line& line : lines) {
    std::string text = line.name;
    const auto column = [&](size_t end, const std::string& next) {
      text += std::string(std::max(end, width(text) + 2) - width(text), ' ') + next;
    };
    if (!line.size.empty()) {
      column(names + 2, line.shape);
      column(names + shapes + 4, line.encoding);
      column(names + shapes + encodings + 6 + 6 - line.bits.size(), line.bits);
      column(names + shapes + encodings + 14 + 9 - std::min<size_t>(line.size.size(), 9),
             line.size);
    }
    std::printf("%s\n", text.c_str());
  }
}

}  // namespace sqf

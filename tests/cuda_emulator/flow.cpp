#include "tests/cuda_emulator/flow.hpp"

#include <algorithm>

namespace sqf {
namespace {

using Graph = std::vector<std::vector<uint32_t>>;

/// Successors of every operation; the last node is the end of the kernel. `ends`: whether a
/// conditional branch to the end counts. Lanes that take it are gone and meet nobody.
Graph successors_of(const Kernel& kernel, bool ends) {
  const auto end = static_cast<uint32_t>(kernel.ops.size());
  Graph graph(kernel.ops.size() + 1);
  for (uint32_t i = 0; i < end; i++) {
    const Op& op = kernel.ops[i];
    const bool branch = op.run == run_branch;
    const bool table = op.run == run_branch_table;
    const bool leaves = op.run == run_exit;
    if (branch) graph[i].push_back(op.target);
    if (table) graph[i] = kernel.branch_tables[static_cast<size_t>(op.offset)];
    if (leaves && (ends || !op.guarded)) graph[i].push_back(end);
    if (!ends && (table || (branch && op.guarded))) {
      std::erase_if(graph[i], [&](uint32_t to) {
        return to >= end || (kernel.ops[to].run == run_exit && !kernel.ops[to].guarded);
      });
    }
    if (!(branch || table || leaves) || op.guarded) graph[i].push_back(i + 1);
    for (uint32_t& to : graph[i]) to = std::min(to, end);
  }
  return graph;
}

/// Nodes in the order in which a walk from the end against the arrows leaves them.
std::vector<uint32_t> postorder_from_end(const Graph& backward) {
  std::vector<uint32_t> order;
  std::vector<uint8_t> seen(backward.size(), 0);
  const auto end = static_cast<uint32_t>(backward.size() - 1);
  std::vector<std::pair<uint32_t, size_t>> stack{{end, 0}};
  seen[end] = 1;
  while (!stack.empty()) {
    auto& [node, next] = stack.back();
    if (next < backward[node].size()) {
      const uint32_t to = backward[node][next++];
      if (seen[to] == 0) {
        seen[to] = 1;
        stack.emplace_back(to, 0);
      }
    } else {
      order.push_back(node);
      stack.pop_back();
    }
  }
  return order;
}

// Cooper, Harvey and Kennedy, "A simple, fast dominance algorithm" (2001), on the reversed graph.
std::vector<uint32_t> postdominators_of(const Graph& forward) {
  const auto end = static_cast<uint32_t>(forward.size() - 1);
  Graph backward(forward.size());
  for (uint32_t i = 0; i < end; i++) {
    for (const uint32_t to : forward[i]) backward[to].push_back(i);
  }
  const std::vector<uint32_t> order = postorder_from_end(backward);
  std::vector<uint32_t> rank(forward.size(), kNowhere), above(forward.size(), kNowhere);
  for (uint32_t i = 0; i < order.size(); i++) rank[order[i]] = i;
  above[end] = end;
  const auto meet = [&](uint32_t a, uint32_t b) {
    while (a != b) {
      while (rank[a] < rank[b]) a = above[a];
      while (rank[b] < rank[a]) b = above[b];
    }
    return a;
  };
  for (bool changed = true; changed;) {
    changed = false;
    for (auto node = order.rbegin(); node != order.rend(); ++node) {
      if (*node == end) continue;
      uint32_t common = kNowhere;
      for (const uint32_t to : forward[*node]) {
        if (above[to] == kNowhere) continue;
        common = common == kNowhere ? to : meet(common, to);
      }
      if (above[*node] != common) {
        above[*node] = common;
        changed = true;
      }
    }
  }
  return above;
}

}  // namespace

void find_reconvergence(Kernel& kernel) {
  const auto end = static_cast<uint32_t>(kernel.ops.size());
  const std::vector<uint32_t> surviving = postdominators_of(successors_of(kernel, false));
  const std::vector<uint32_t> all = postdominators_of(successors_of(kernel, true));
  for (uint32_t i = 0; i < end; i++) {
    if (kernel.ops[i].run != run_branch && kernel.ops[i].run != run_branch_table) continue;
    const uint32_t meeting = surviving[i] < end ? surviving[i] : all[i];
    kernel.ops[i].reconverge = meeting < end ? meeting : kNowhere;
  }
}

}  // namespace sqf

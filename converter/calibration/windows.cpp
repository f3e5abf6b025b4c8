#include "converter/calibration/windows.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>

#include "converter/calibration/steps.hpp"

namespace sqf {
namespace {

/// Sums of one window; buffers for the widest input.
struct WindowSums {
  std::vector<float> abs_max, gram;
  std::vector<double> abs, square;
  Panels panels;

  WindowSums(int64_t widest, bool with_gram)
      : abs_max(static_cast<size_t>(widest)),
        gram(with_gram ? static_cast<size_t>(widest * widest) : 0),
        abs(abs_max.size()),
        square(abs_max.size()) {}

  void sum_up(const float* x, int64_t tokens, int64_t columns) {
    std::fill(abs_max.begin(), abs_max.end(), 0.0f);
    std::fill(abs.begin(), abs.end(), 0.0);
    std::fill(square.begin(), square.end(), 0.0);
    for (int64_t t = 0; t < tokens; t++)
      add_channels(x + t * columns, columns, abs_max.data(), abs.data(), square.data());
    if (gram.empty()) return;
    panels.resize(tokens, columns);
    pack_columns(x, columns, &panels);
    multiply({{x, 1, columns}, columns, panels, tokens, columns, gram.data(), columns});
  }
};

/// Takes the windows' sums in the order of the windows, whoever computed them. A thread may wait
/// here for windows before its own; these are all being worked on, and the first waits for nobody.
class OrderedSums {
 public:
  OrderedSums(int64_t columns, bool with_gram) {
    sums.abs_max.resize(static_cast<size_t>(columns));
    sums.abs.resize(sums.abs_max.size());
    sums.square.resize(sums.abs_max.size());
    if (with_gram) sums.gram.resize(sums.abs_max.size() * sums.abs_max.size());
  }

  void add(int64_t window, const WindowSums& of) {
    std::unique_lock lock(mutex_);
    turned_.wait(lock, [&] { return next_ == window; });
    for (size_t k = 0; k < sums.abs_max.size(); k++) {
      sums.abs_max[k] = std::max(sums.abs_max[k], of.abs_max[k]);
      sums.abs[k] += of.abs[k];
      sums.square[k] += of.square[k];
    }
    for (size_t i = 0; i < sums.gram.size(); i++) sums.gram[i] += static_cast<double>(of.gram[i]);
    next_++;
    turned_.notify_all();
  }

  ChannelSums sums;

 private:
  std::mutex mutex_;
  std::condition_variable turned_;
  int64_t next_ = 0;
};

}  // namespace

Result<Windows> Windows::embed(const SourceModel& source, const BlockContext& context,
                               const CalibrationTokens& tokens, int threads) {
  Windows out;
  out.context_ = &context;
  out.count_ = tokens.windows;
  out.x_.resize(tokens.ids.size() * static_cast<size_t>(context.description.hidden_size));
  if (auto r = embed_tokens(source, context.description, tokens.ids, out.x_.data()); !r)
    return r.error();
  const int64_t team = std::min<int64_t>(std::max(threads, 1), tokens.windows);
  for (int64_t i = 0; i < team; i++) out.team_.emplace_back(context);
  return out;
}

Result<std::vector<ChannelSums>> Windows::run(const Step& step, const Summed& summed,
                                              const std::function<bool(int64_t)>& go_on) {
  std::vector<std::unique_ptr<OrderedSums>> sums;
  int64_t widest = 0;
  for (const int64_t columns : summed.columns) {
    sums.push_back(std::make_unique<OrderedSums>(columns, summed.gram));
    widest = std::max(widest, columns);
  }
  std::vector<WindowSums> rooms(team_.size(), WindowSums(widest, summed.gram));
  std::atomic<int64_t> next = 0;
  std::atomic<bool> stopped = false;
  const auto work = [&](size_t member, const std::function<bool(int64_t)>& ask) {
    while (!stopped) {
      const int64_t window = next++;
      if (window >= count_) return;
      const auto take = [&](int64_t input, const float* x, int64_t tokens, int64_t columns) {
        const int64_t index = input - summed.first;
        if (index < 0 || index >= static_cast<int64_t>(sums.size())) return;
        rooms[member].sum_up(x, tokens, columns);
        sums[static_cast<size_t>(index)]->add(window, rooms[member]);
      };
      step(team_[member], window, stream(window), take);
      if (ask && !ask(std::min(next.load(), count_))) stopped = true;
    }
  };
  {
    std::vector<std::jthread> others;
    try {
      for (size_t i = 1; i < team_.size(); i++) others.emplace_back([&, i] { work(i, nullptr); });
    } catch (const std::system_error&) {
      // The threads that there are do it all.
    }
    work(0, go_on);
  }
  if (stopped || (go_on && !go_on(count_)))
    return Error{Code::interrupted, "calibration stopped before it was complete", 0};
  std::vector<ChannelSums> out;
  for (auto& of : sums) out.push_back(std::move(of->sums));
  return out;
}

}  // namespace sqf

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "apps/report.hpp"

namespace sqf {
namespace {

TEST(TimeLeft, nothing_of_short_work) {
  TimeLeft left;
  for (int i = 1; i <= 190; i++) EXPECT_EQ(left.words(i / 10.0, i / 190.0), "") << i;
}

TEST(TimeLeft, nothing_to_go_by) {
  TimeLeft left;
  EXPECT_EQ(left.words(0.1, 0.001), "");
  EXPECT_EQ(left.words(60, 0), "");
  EXPECT_EQ(left.words(60, 1), "");
}

TEST(TimeLeft, units) {
  const auto at = [](double elapsed, double share) { return TimeLeft().words(elapsed, share); };
  EXPECT_EQ(at(60, 0.25), "about 3 min left");
  EXPECT_EQ(at(60, 0.5), "about 60 s left");
  EXPECT_EQ(at(90, 0.5), "about 90 s left");
  EXPECT_EQ(at(91, 0.5), "about 2 min left");
  EXPECT_EQ(at(3600, 0.1), "about 9 h left");
}

TEST(TimeLeft, counts_down_by_the_clock) {
  // Even work: each estimate is the same moment, and the words go down with the time.
  TimeLeft left;
  for (int second = 5; second < 600; second++) {
    const int rest = 600 - second;
    const std::string expected = rest > 90
                                     ? "about " + std::to_string((rest + 59) / 60) + " min left"
                                     : "about " + std::to_string((rest + 9) / 10 * 10) + " s left";
    // Half a second from where the words change.
    const std::string words = left.words(second + 0.5, (second + 0.5) / 600);
    EXPECT_EQ(words, expected) << second;
  }
}

TEST(TimeLeft, steady_where_work_is_uneven) {
  // Every other tenth of the work takes twice as long: never more than one change a minute or so.
  TimeLeft left;
  std::string last;
  int changes = 0, ups = 0;
  double before = 1e9;
  for (int percent = 5; percent < 100; percent++) {
    const int tens = percent / 10, rest = percent % 10;
    const bool slow = tens % 2 != 0;
    const double elapsed = tens / 2 * 180 + (slow ? 60 + rest * 12 : rest * 6);
    const std::string words = left.words(elapsed, percent / 100.0);
    changes += words != last;
    const double minutes = words.find("min") != std::string::npos ? std::stod(words.substr(6)) : 0;
    ups += minutes > before;
    before = minutes;
    last = words;
  }
  EXPECT_LE(changes, 30);  // ten minutes, and ten steps of the last ninety seconds
  EXPECT_LE(ups, 3);
}

TEST(TimeLeft, follows_what_slows_down) {
  TimeLeft left;
  EXPECT_EQ(left.words(10, 0.1), "about 90 s left");
  EXPECT_EQ(left.words(100, 0.2), "about 7 min left");
}

}  // namespace
}  // namespace sqf

// sqcheck: is this file what its writer wrote, what is in it, and how does it differ from another?
// Picks the command; the commands stand in files of their own.

#include "apps/sqcheck.hpp"

#include <CLI/CLI.hpp>
#include <clocale>
#include <cstdio>
#include <exception>

#include "apps/report.hpp"
#include "format/rules.hpp"

namespace sqf {

int run_rules(int argc, char** argv) {
  CLI::App app("The rules of the format, with their numbers.", "sqcheck rules");
  if (const auto code = parse_arguments(app, argc, argv)) return *code;
  for (const RuleText& r : rules()) std::printf("R%u  %s\n", static_cast<unsigned>(r.rule), r.text);
  return 0;
}

}  // namespace sqf

int main(int argc, char** argv) {
  std::setlocale(LC_CTYPE, "");  // may the tree be drawn in UTF-8?
  const std::string_view command = argc > 1 ? argv[1] : "";
  try {
    int code = 0;
    if (command == "info")
      code = sqf::run_info(argc - 1, argv + 1);
    else if (command == "diff")
      code = sqf::run_diff(argc - 1, argv + 1);
    else if (command == "rules")
      code = sqf::run_rules(argc - 1, argv + 1);
    else
      code = sqf::run_check(argc, argv);
    return sqf::close_output("sqcheck", code);
  } catch (const std::exception& e) {
    return sqf::report("sqcheck", sqf::io_error(e.what()));
  }
}

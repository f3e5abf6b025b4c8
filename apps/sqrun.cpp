// sqrun: text from an .sqf model. Picks the command; the commands stand in files of their own.

#include "apps/sqrun.hpp"

#include <exception>
#include <string_view>

#include "apps/report.hpp"

int main(int argc, char** argv) {
  const std::string_view command = argc > 1 ? argv[1] : "";
  try {
    if (command == "bench") return sqf::run_bench(argc - 1, argv + 1);
    if (command == "ppl") return sqf::run_perplexity(argc - 1, argv + 1);
    return sqf::run_generate(argc, argv);
  } catch (const std::exception& e) {
    return sqf::report("sqrun", sqf::io_error(e.what()));
  }
}

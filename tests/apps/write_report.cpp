// write_report IN.json OUT: the report of a document, for report_test.py. Exit codes as the
// programs'.

#include <cstdio>
#include <fstream>
#include <iterator>

#include "apps/quality_report.hpp"

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  std::ifstream in(argv[1], std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  auto report = sqf::parse_json(text, argv[1], {.values = size_t{1} << 26});
  auto done = report ? sqf::write_report(*report, argv[2], false) : report.error();
  if (done) return 0;
  std::fprintf(stderr, "%s\n", done.error().message.c_str());
  return static_cast<int>(done.error().code);
}

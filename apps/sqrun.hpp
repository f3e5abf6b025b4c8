#pragma once
// The commands of sqrun. Each parses its own arguments and returns an exit code.

namespace sqf {

int run_generate(int argc, char** argv);    ///< sqrun MODEL -p TEXT, --chat, -i
int run_bench(int argc, char** argv);       ///< sqrun bench MODEL
int run_perplexity(int argc, char** argv);  ///< sqrun ppl MODEL TEXT

}  // namespace sqf

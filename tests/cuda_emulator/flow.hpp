#pragma once

// Where lanes that part at a branch meet again: the branch's immediate postdominator.

#include "tests/cuda_emulator/program.hpp"

namespace sqf {

/// Sets Op::reconverge of every branch; kNowhere where the sides meet only at the end of the
/// kernel.
void find_reconvergence(Kernel& kernel);

// What can follow an operation, told by its function.
void run_branch(Warp& warp, const Op& op);
void run_branch_table(Warp& warp, const Op& op);
void run_exit(Warp& warp, const Op& op);

}  // namespace sqf

#!/usr/bin/env python3
"""Breaks the CUDA kernels on purpose, one mistake at a time, and expects the kernels' tests to tell.

usage: cuda_mutants.py SOURCE BUILD NVCC EMULATOR [EVERY]      EVERY 3 takes a third of the mistakes; by itself, all
Kernels with a mistake are compiled to PTX alone, which is what the emulator reads, and linked with the tests as they are
built in BUILD (with Ninja). A mutant is found when its tests fail; one that passes, or does not compile, is an error here.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

FEW = "CudaProducts.RaggedShapesAndTokens:CudaProducts.LongRows"
ALL = f"{FEW}:CudaProducts.OtherGrids:CudaModel.LogitsOfTheCpu:CudaAttention.*:CudaNarrow.FourBitsAreExact:CudaTogether.*"
PLANES = "CudaProducts.ManyTokens:CudaProducts.EveryNumberOfTokens"
ATTENTION, TOGETHER = "CudaAttention.*", "CudaTogether.*"
BITS, NIBBLES = "CudaNarrow.BitPlanesAreExact", "CudaNarrow.FourBitsAreExact"
# Kernels that are compiled with a mistake in a header. Other files are kernels themselves.
USERS = {"decode.cuh": ["decode.cu"], "decode_copies.cuh": ["decode.cu"], "decode_kernel.cuh": ["decode.cu"],
         "operands.cuh": ["decode.cu", "prefill.cu", "prefill_planes.cu"], "window.cuh": ["decode.cu"],
         "prefill.cuh": ["prefill.cu"], "prefill_copies.cuh": ["prefill.cu", "prefill_planes.cu"],
         "tile.cuh": ["decode.cu", "prefill.cu"], "narrow.cuh": ["bits.cu", "narrow.cu"],
         "combine.cuh": ["bits.cu", "decode.cu"], "attention.cuh": ["attention.cu"]}
# What is wrong, the file, what stood there, what stands there now, the tests that are run.
# Every third is run with the other tests: a wrong nibble, a missing barrier and a row too many among them.
MUTANTS = [
    ("wrong nibble", "operands.cuh", "c.high[r] = words_of(w)[r] >> 4 &", "c.high[r] = words_of(w)[r] &", FEW),
    ("wrong bits of any planes", "operands.cuh", "__funnelshift_r(word, word, raw.y + raw.w)", "__funnelshift_r(word, word, raw.y)",
     "CudaProducts.EveryNumberOfTokens"),
    ("codes of the wrong columns", "operands.cuh", "w >> 8, w >> Bits,", "w >> 8, w,", FEW),
    ("a second plane's codes as if it were the first", "operands.cuh", "(8 * t & (32 / bits - 1)) / 4 * bits - to",
     "(8 * t & (32 / bits - 1)) / 4 * bits", PLANES),
    ("levels of the wrong columns", "operands.cuh", "pick_bytes<0x3120>(codes, codes)", "codes", "CudaProducts.OtherGrids"),
    ("a minifloat's sign is forgotten", "operands.cuh", "sign & 0x80008000u", "0", "CudaProducts.OtherGrids"),
    ("upper bytes of the wrong columns", "operands.cuh", "pick_bytes<0x4341>(w, 0)", "pick_bytes<0x4140>(w, 0)", FEW),
    ("the zero of another row in a block", "prefill.cuh", "words_of(zeros)[i / 4]", "words_of(zeros)[i % 4]", PLANES),
    ("digits sixteen times too large", "operands.cuh", "0x2c002c00u", "0x3c003c00u", FEW),
    ("the scale of another run", "prefill.cuh", "p.scales[Run][row_place]", "p.scales[0][row_place]", PLANES),
    ("minimums of groups behind the last", "prefill.cuh", "first + 4 * k < groups ? ", "first + 4 * k >= 0 ? ",
     "CudaProducts.ManyTokens"),
    ("half of a sum's bits", "prefill.cuh", "multiply_tf32(y[s][b], rows[s], low[0], low[1]);", "", "CudaProducts.ManyTokens"),
    ("real values of the wrong columns", "prefill.cuh", "pairs[1] = pick_bytes<0x7632>", "pairs[1] = pick_bytes<0x5410>", PLANES),
    ("the threads of a plane copy another's pieces", "prefill_copies.cuh", "thread - 64 * kFirstSlimBits)",
     "thread - 32 * kFirstSlimBits)", PLANES),
    ("copies are not waited for", "decode.cuh", "wait_copies<kStages - 2>();", "wait_copies<kStages - 1>();", FEW),
    ("a team that does not wait for its members", "decode.cuh", 'asm volatile("bar.sync %0, %1;" ::',
     'asm volatile("// %0 %1" ::', FEW),
    ("what rounding took from activations is dropped", "decode_kernel.cuh",
     "+= __shfl_xor_sync(0xffffffffu, d.y[0][i / 4][i % 4], 2)", "+= 0", FEW),
    ("the first tile's scales for both", "window.cuh", "lane.lane / 4 % 2 == 0 ? first_tile : second_tile", "first_tile", FEW),
    ("scales of the window before", "decode.cuh", "slot = slots;\n      reader.store(window, lane);", "slot = slots;",
     "CudaProducts.LongRows"),
    ("groups of an odd number of runs", "decode_kernel.cuh", "part.runs_per_group % 2 != 0", "part.runs_per_group < 0",
     "CudaProducts.EveryNumberOf*"),
    ("the last group is left out", "decode.cuh", "if (!kEach && left != runs) finish(slot);", "", FEW),
    ("one row too many", "combine.cuh", "else if (row < a.part.rows)", "else if (row <= a.part.rows)", FEW),
    ("the product before, at the border", "decode_kernel.cuh",
     "if (blockIdx.x < more.first_block) break;\n#pragma unroll\n      for (int p",
     "if (blockIdx.x <= more.first_block) break;\n#pragma unroll\n      for (int p", TOGETHER),
    ("the first product's blocks", "decode_kernel.cuh", "own.first_block = more.first_block;", "", TOGETHER),
    ("the first product's weights", "decode_kernel.cuh", "own.planes[p] = more.planes[p];", ";", TOGETHER),
    ("results of the product before, at the border", "decode_kernel.cuh",
     "if (blockIdx.x < more.first_block) break;\n    first_block = more.first_block;\n    a->part.rows",
     "if (blockIdx.x <= more.first_block) break;\n    first_block = more.first_block;\n    a->part.rows", TOGETHER),
    ("the first product's rows", "decode_kernel.cuh", "own.rows = more.rows;", "", TOGETHER),
    ("the first product's scales", "decode_kernel.cuh", "own.scales = more.scales;", "", TOGETHER),
    ("the first product's zeros", "decode_kernel.cuh", "own.zeros = more.zeros;", "", TOGETHER),
    ("the first product's row factors", "decode_kernel.cuh", "own.row_factors = more.row_factors;", "", TOGETHER),
    ("the first product's sums of weights", "decode_kernel.cuh", "a->row_sums = more.row_sums;", "", TOGETHER),
    ("the first product's bias", "decode_kernel.cuh", "a->bias = more.bias;", "", TOGETHER),
    ("the y of another product", "decode_kernel.cuh", "a->y = more.y;", "", TOGETHER),
    ("the distance of another product's tokens", "decode_kernel.cuh", "a->y_stride = more.y_stride;", "", TOGETHER),
    ("the rows of another product are left out", "decode_kernel.cuh", "a->part.rows = more.rows;", "", TOGETHER),
    ("tickets that products share", "combine.cuh", "atomicAdd(a.tickets + blockIdx.x, 1u)",
     "atomicAdd(a.tickets + blockIdx.x - first_block, 1u)", TOGETHER),
    ("sums that products share", "combine.cuh", "a.partial + static_cast<int64_t>(blockIdx.x) * Rows",
     "a.partial + static_cast<int64_t>(blockIdx.x - first_block) * Rows", TOGETHER),
    ("blocks that share rows are not waited for", "combine.cuh", "== gridDim.y - 1", "== 0", "CudaProducts.LongRows"),
    ("the zero of another row", "decode.cuh", "fmaf(offsets[i / 2], ones[b][i % 2], to)", "fmaf(offsets[i / 4], ones[b][i % 2], to)", FEW),
    ("a missing barrier", "prefill.cuh", "wait_copies<kPrefillStages - 2>();\n      __syncthreads();",
     "wait_copies<kPrefillStages - 2>();", FEW),
    ("one row too many in a block", "prefill.cuh", "if (row + r < a.part.rows) to[r]", "if (row + r <= a.part.rows) to[r]", FEW),
    ("copies behind the tile", "prefill_copies.cuh", "whole || wide.at_end != 0", "true", FEW),
    ("what rounding took is forgotten", "prefill.cuh", "if (a.split != 0) add_rest();", "", FEW),
    ("tiles in each other's place", "prefill_copies.cuh", "tile % 2 * step_bytes", "(1 - tile % 2) * step_bytes", FEW),
    ("activations in their own order", "forms.cu", "j == 1 ? 2 : j == 2 ? 1 : j", "j", FEW),
    ("keys one position late", "rotate.cu", "const int position = *a.position + token;",
     "const int position = *a.position + token + 1;", "CudaModel.LogitsOfTheCpu"),
    ("a missing mask", "attention.cuh", "s[n][i] = -INFINITY;", "s[n][i] = s[n][i];", ATTENTION),
    ("a mask for the strip's first row only", "attention.cuh", "tile.first + tokens[row + 8]};", "tile.first + tokens[row]};",
     ATTENTION),
    ("weights so far are not brought to the new largest score", "attention.cuh", "total[r] *= keep[r];", "", ATTENTION),
    ("nor are sums", "attention.cuh", "sum[n][i] *= keep[i / 2];", "sum[n][i] *= 1;", ATTENTION),
    ("positions behind the last", "attention.cuh", "first + row + i * kStep < b.end ? bytes : 0", "bytes", ATTENTION),
    ("what queries and weights lose in f16", "attention.cuh", "__floats2half2_rn(x - back.x, y - back.y)",
     "__floats2half2_rn(0, 0)", ATTENTION),
    ("a strip that has not arrived", "attention.cuh", "wait_copies<kRing - 2>();", "wait_copies<kRing - 1>();", ATTENTION),
    ("a strip that others still read", "attention.cuh", "    else\n      __syncthreads();", "", ATTENTION),
    ("another KV head's cache", "attention.cuh", "static_cast<int64_t>(b.kv_head) * a.context",
     "static_cast<int64_t>((b.kv_head + 1) % a.kv_heads) * a.context", ATTENTION),
    ("a ticket that comes too early", "attention.cu", "== static_cast<unsigned>(shares) - 1", "== 0", ATTENTION),
    ("a ticket that is not handed back", "attention.cu", "if (last) *ticket = 0;", "", ATTENTION),
    ("parts as if they had one largest score", "attention.cu", "power_of_two(largest - base_of(most))", "1.0f", ATTENTION),
    ("rows behind the last of a tile", "attention.cu", "if (row >= at.tile.row_count) continue;", "", ATTENTION),
    ("an edge of the division", "plain.cu", "for (int d = 0; d < place / 4; d++) byte /= radix;",
     "for (int d = 1; d < place / 4; d++) byte /= radix;", "CudaProducts.OtherGrids"),
    ("the top plane counts up", "narrow.cuh", "p == planes - 1 ? -(1 << p) : 1 << p", "1 << p", BITS),
    ("bits in their own order", "forms.cu", "lane / 8 + lane % 8 * 4", "lane", BITS),
    ("nibbles in their own order", "forms.cu", "lane % 4 * 8 + lane / 4 % 2 * 4", "lane % 8 * 4", NIBBLES),
    ("a packed integer's shift is forgotten", "forms.cu", "const int q = i < a.count ? quantize(a, scale, m.value(i)) - a.shift : 0;",
     "const int q = i < a.count ? quantize(a, scale, m.value(i)) : 0;", NIBBLES),
    ("a sum without the top plane's sign", "forms.cu", "int sum = -(__popc(from[top * 4]) << top);",
     "int sum = __popc(from[top * 4]) << top;", BITS),
    ("rows of a unit in each other's place", "narrow.cuh", "lane.g ^ (lane.t >= 2 ? 8 : 0)", "lane.g", NIBBLES),
    ("planes of weights are not told apart", "narrow.cu", "plane_factor(q, x_planes()) << p", "plane_factor(q, x_planes())", BITS),
    ("a slot's group ends with the step", "narrow.cu", "finish(step, last);", "finish(step, 0);", NIBBLES),
    ("a missing barrier in a step", "narrow.cu", "wait_copies<kPrefillStages - 2>();\n      __syncthreads();",
     "wait_copies<kPrefillStages - 2>();",
     NIBBLES),
    ("units behind the tile", "narrow.cu", "piece * 16 < left && first_tile + tile < tiles", "first_tile + tile < tiles", NIBBLES),
    ("zeros are taken off by every warp", "bits.cu", "if (ends) {", "if (true) {", "CudaNarrow.LongRows"),
    ("a short last group is left out", "bits.cu", "left <= 0 || done >= slots", "left <= 0", BITS),
    ("a stage is not waited for", "bits.cu", "wait_copies<1>();", "wait_copies<2>();", BITS),
    ("the window of scales stays", "bits.cu", "group - window_first < kWindow || group >= groups_end", "true", "CudaNarrow.LongRows"),
    ("columns of a token are not summed", "bits.cu", "2 * step < x_planes", "4 * step < x_planes", BITS),
]


def run(command, **options):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)


class Mutation:
    def __init__(self, source, build, nvcc, emulator, folder):
        self.source, self.build, self.nvcc, self.emulator, self.folder = source, build, nvcc, emulator, folder
        commands = run(["ninja", "-C", build, "-t", "commands", "cuda_test"]).stdout.splitlines()
        self.link = next(c for c in commands if "-o tests/cuda/cuda_test " in c).split(" && cd ")[0]
        self.kernels = build / "cuda/sqf_cuda_kernels.dir"

    def compiled(self, file, before, after):
        """A library of the kernels with the mistake in it."""
        headers = self.folder / "cuda/kernels"
        shutil.rmtree(headers, ignore_errors=True)
        shutil.copytree(self.source / "cuda/kernels", headers)
        text = (headers / file).read_text()
        if text.count(before) != 1:
            raise SystemExit(f"{file} has {text.count(before)} times: {before}")
        (headers / file).write_text(text.replace(before, after))
        images = self.folder / "images"
        shutil.rmtree(images, ignore_errors=True)
        images.mkdir()
        for fatbin in self.kernels.glob("*.fatbin"):
            shutil.copy(fatbin, images)
        changed = USERS.get(file, [file])
        for name in changed:
            done = run([self.nvcc, "-std=c++20", "--expt-relaxed-constexpr", "--allow-unsupported-compiler", "--no-compress",
                        "-I", self.folder, "-gencode", "arch=compute_80,code=compute_80", "--fatbin", "-o",
                        images / (pathlib.Path(name).stem + ".fatbin"), headers / name])
            if done.returncode:
                raise SystemExit(f"{name} does not compile:\n{done.stdout}")
        library = self.folder / "libmutant.a"
        shutil.copy(self.build / "cuda/libsqf_cuda_kernels.a", library)
        members = run(["ar", "t", library]).stdout.split()
        old = next(m for m in members if ".S." in m)
        subprocess.run(["cc", "-c", "-I", images, self.kernels / "fatbins.S", "-o", self.folder / old], check=True)
        subprocess.run(["ar", "r", library, self.folder / old], check=True, stderr=subprocess.DEVNULL)
        return library

    def is_found(self, file, before, after, tests):
        library = self.compiled(file, before, after)
        program = self.folder / "mutant"
        link = self.link.replace("-o tests/cuda/cuda_test ", f"-o {program} ")
        link = re.sub(r"\S*libsqf_cuda_kernels\.a", str(library), link)
        subprocess.run(link, shell=True, cwd=self.build, check=True)
        environment = os.environ | {"SQF_LIBCUDA": str(self.emulator), "SQF_EMULATOR": "threads=2"}
        try:
            done = run([program, f"--gtest_filter={tests}", "--gtest_fail_fast"], env=environment, timeout=300)
        except subprocess.TimeoutExpired:
            return True
        return done.returncode != 0


def main():
    source, build, nvcc, emulator = (pathlib.Path(a).absolute() for a in sys.argv[1:5])
    mutants = MUTANTS[::int(sys.argv[5]) if len(sys.argv) > 5 else 1]
    with tempfile.TemporaryDirectory() as folder:
        mutation = Mutation(source, build, nvcc, emulator, pathlib.Path(folder))
        missed = 0
        right = "return line * 4 + (piece % 4 ^ (half != 0 ? 2 : 0));"
        if mutation.is_found("tile.cuh", right, right, ALL):
            raise SystemExit("kernels without a mistake fail")
        for what, file, before, after, tests in mutants:
            found = mutation.is_found(file, before, after, tests)
            missed += not found
            print(f"{'found ' if found else 'MISSED'} {file}: {what}", flush=True)
    print(f"{len(mutants) - missed} of {len(mutants)} mistakes are found")
    return missed != 0


sys.exit(main())

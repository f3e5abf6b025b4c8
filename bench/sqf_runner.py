"""Our own programs, each measurement a fresh process: convert, bench, ppl, first token."""
import json
import os
import pathlib
import resource
import subprocess
import time

import windows


def _children_cpu():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run(command, environment=None):
    """(wall seconds, CPU seconds, standard output) of a process that must succeed."""
    wall, cpu = time.perf_counter(), _children_cpu()
    done = subprocess.run([str(c) for c in command], capture_output=True, env=environment, check=False)
    wall = time.perf_counter() - wall
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stderr.decode()}")
    return wall, _children_cpu() - cpu, done.stdout


class Programs:
    def __init__(self, build):
        self._apps = pathlib.Path(build) / "apps"
        for name in ("sqconv", "sqrun"):
            if not os.access(self._apps / name, os.X_OK):
                raise SystemExit(f"{self._apps / name} is not built; --only llama measures llama.cpp alone")

    def version(self):
        return run([self._apps / "sqrun", "--version"])[2].decode().strip()

    def convert(self, source, target, bits):
        target.unlink(missing_ok=True)
        return run([self._apps / "sqconv", source, "-o", target, "--bits", bits])[0]

    def _bench(self, model, threads, prompt, tokens, repetitions):
        wall, cpu, output = run(
            [self._apps / "sqrun", "bench", model, "-p", prompt, "-n", tokens]
            + ["-r", repetitions, "-t", threads, "--json"]
        )
        return cpu, {row["test"]: row["tokens_per_second"] for row in json.loads(output)}

    def speeds(self, model, threads, prompt, tokens):
        """{"pp512": tokens/s, "tg128": tokens/s} of one repetition."""
        return self._bench(model, threads, prompt, tokens, 1)[1]

    def cpu_per_token(self, model, threads, prompt, tokens, repetitions):
        """CPU seconds per token of one test (the other count is 0); start and warm-up cancel in the difference."""
        few = self._bench(model, threads, prompt, tokens, 1)[0]
        many = self._bench(model, threads, prompt, tokens, 1 + repetitions)[0]
        return (many - few) / (repetitions * (prompt + tokens))

    def first_token(self, model, prompt):
        return run([self._apps / "sqrun", model, "-p", prompt, "-n", 1, "--temp", 0])[0]

    def perplexity(self, model, text):
        part = ["--lines", f"{windows.FIRST_PERCENT}%-100%", "--window", windows.WINDOW, "--windows", windows.WINDOWS]
        return json.loads(run([self._apps / "sqrun", "ppl", model, text, *part, "--json"])[2])

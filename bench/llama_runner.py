"""llama.cpp through the C API of llama-cpp-python: quantize, time decoding and prefill, score windows.

Everything is at llama.cpp's defaults (flash attention, repacking, mmap, f16 cache) but the number of threads,
the sizes of the context and the batch, and logging, which is off.
"""
import ctypes
import os
import time

import llama_cpp
import numpy as np

FTYPES = {
    "Q4_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0,
    "Q4_K_M": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M,
    "Q5_K_M": llama_cpp.LLAMA_FTYPE_MOSTLY_Q5_K_M,
    "Q8_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0,
}


@llama_cpp.llama_log_callback
def _discard(level, text, user_data):
    pass


llama_cpp.llama_log_set(_discard, ctypes.c_void_p(0))
llama_cpp.llama_backend_init()


def quantize(source, target, kind):
    """Seconds that llama.cpp's quantizer takes, with as many threads as it chooses itself."""
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = FTYPES[kind]
    start = time.perf_counter()
    status = llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(params))
    if status != 0:
        raise SystemExit(f"llama.cpp: quantizing {source} to {kind} failed with {status}")
    return time.perf_counter() - start


class Model:
    """A loaded GGUF with one context of 512 positions + 128, or of exactly 512 where it only scores."""

    def __init__(self, path, threads, context=640):
        params = llama_cpp.llama_model_default_params()
        self._model = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
        if not self._model:
            raise SystemExit(f"llama.cpp: cannot load {path}")
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx = context
        settings.n_batch = 512
        settings.n_threads = settings.n_threads_batch = threads
        self._context = llama_cpp.llama_init_from_model(self._model, settings)
        self._batch = llama_cpp.llama_batch_init(512, 0, 1)
        self.vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self._model))

    def close(self):
        llama_cpp.llama_batch_free(self._batch)
        llama_cpp.llama_free(self._context)
        llama_cpp.llama_model_free(self._model)

    def _clear(self):
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._context), True)

    def _decode(self, ids, position, all_logits=False):
        batch = self._batch
        batch.n_tokens = len(ids)
        for i, token in enumerate(ids):
            batch.token[i] = int(token)
            batch.pos[i] = position + i
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = 0
            batch.logits[i] = all_logits or i + 1 == len(ids)
        status = llama_cpp.llama_decode(self._context, batch)
        if status != 0:
            raise SystemExit(f"llama.cpp: llama_decode returned {status}")
        llama_cpp.llama_synchronize(self._context)

    def prefill(self, ids):
        """(wall seconds, CPU seconds) of one batch of ids on an empty context."""
        self._clear()
        wall, cpu = time.perf_counter(), time.process_time()
        self._decode(ids, 0)
        return time.perf_counter() - wall, time.process_time() - cpu

    def decode(self, ids):
        """(wall seconds, CPU seconds) of decoding ids[1:] one by one after ids[0]."""
        self._clear()
        self._decode(ids[:1], 0)
        wall, cpu = time.perf_counter(), time.process_time()
        for position in range(1, len(ids)):
            self._decode(ids[position : position + 1], position)
        return time.perf_counter() - wall, time.process_time() - cpu

    def logits(self, ids):
        """f32 [len(ids), vocabulary]; a view that the next call overwrites."""
        self._clear()
        self._decode(ids, 0, all_logits=True)
        pointer = llama_cpp.llama_get_logits(self._context)
        return np.ctypeslib.as_array(pointer, shape=(len(ids), self.vocabulary))


def lib_folder():
    return os.path.join(os.path.dirname(llama_cpp.__file__), "lib")


def include_folder():
    return os.path.join(os.path.dirname(os.path.dirname(llama_cpp.__file__)), "include")


def version():
    features = llama_cpp.llama_print_system_info().decode().replace(" = 1", "").strip(" |")
    return f"llama-cpp-python {llama_cpp.__version__} ({features.replace(' | ', ', ')})"

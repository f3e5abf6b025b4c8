// The shortest llama.cpp program from process start to one token: load, tokenize, evaluate, print
// the best token. Built by compare_llama_cpp against the libraries that llama-cpp-python installs,
// so that no Python start-up is in the measured time. Leaves without freeing anything; logging is
// off.
//
// usage: llama_first_token MODEL.gguf PROMPT THREADS
#include <llama.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { max_tokens = 512 };

static void discard(enum ggml_log_level level, const char* text, void* user_data) {
  (void)level, (void)text, (void)user_data;
}

static void fail(const char* what) {
  fprintf(stderr, "llama_first_token: %s\n", what);
  exit(1);
}

int main(int argc, char** argv) {
  if (argc != 4) fail("usage: llama_first_token MODEL.gguf PROMPT THREADS");
  llama_log_set(discard, NULL);
  llama_backend_init();
  struct llama_model* model = llama_model_load_from_file(argv[1], llama_model_default_params());
  if (!model) fail("cannot load the model");
  const struct llama_vocab* vocab = llama_model_get_vocab(model);

  struct llama_context_params params = llama_context_default_params();
  params.n_ctx = max_tokens;
  params.n_batch = max_tokens;
  params.n_threads = params.n_threads_batch = atoi(argv[3]);
  struct llama_context* context = llama_init_from_model(model, params);
  if (!context) fail("cannot make a context");

  llama_token tokens[max_tokens];
  const int count =
      llama_tokenize(vocab, argv[2], (int)strlen(argv[2]), tokens, max_tokens, false, true);
  if (count <= 0) fail("cannot tokenize the prompt");
  if (llama_decode(context, llama_batch_get_one(tokens, count)) != 0) fail("cannot evaluate");

  const float* logits = llama_get_logits_ith(context, -1);
  int best = 0;
  for (int i = 1; i < llama_vocab_n_tokens(vocab); ++i) {
    if (logits[i] > logits[best]) best = i;
  }
  char piece[256];
  const int length = llama_token_to_piece(vocab, best, piece, sizeof piece, 0, true);
  if (length > 0) fwrite(piece, 1, (size_t)length, stdout);
  fflush(stdout);
  _exit(0);
}

/* What goes wrong goes wrong with a code: errors FILE.sqf GARBAGE DAMAGED.sqf, the last with a
 * changed tensor byte. */
#include <sqf.h>
#include <stdio.h>
#include <string.h>

static int failures = 0;

static void check(int good, const char* what, int line) {
  if (good) return;
  fprintf(stderr, "errors.c:%d: %s\n", line, what);
  failures++;
}
#define CHECK(condition) check((condition), #condition, __LINE__)

static int stop(void* context, uint64_t done, uint64_t total) {
  *(uint64_t*)context = total - done;
  return 1;
}

int main(int argc, char** argv) {
  sqf_file* file = NULL;
  sqf_error error;
  sqf_tensor tensor;
  sqf_part part;
  uint64_t left = 0;
  float value[4096];
  if (argc != 4) return 2;
  memset(&error, 0x55, sizeof error); /* what was there before does not matter */

  CHECK(sqf_open("/nowhere/at/all.sqf", SQF_VERIFY_HEAD, &file, &error) == SQF_ERROR_IO);
  CHECK(error.code == SQF_ERROR_IO && error.rule == 0 && error.known == 0);
  CHECK(strstr(error.message, "/nowhere/at/all.sqf: cannot open") == error.message);
  CHECK(sqf_open(argv[2], SQF_VERIFY_HEAD, &file, &error) == SQF_ERROR_MALFORMED);
  CHECK(error.rule == 102 && strstr(error.message, "R102") != NULL);
  CHECK(sqf_open(NULL, SQF_VERIFY_HEAD, &file, &error) == SQF_ERROR_USAGE);
  CHECK(sqf_open(argv[1], 77, &file, &error) == SQF_ERROR_USAGE);
  CHECK(sqf_open(argv[1], SQF_VERIFY_HEAD, NULL, NULL) == SQF_ERROR_USAGE);
  CHECK(file == NULL);

  CHECK(sqf_open(argv[1], SQF_VERIFY_HEAD, &file, &error) == SQF_OK);
  CHECK(error.code == SQF_OK && error.message[0] == '\0');
  CHECK(sqf_get_tensor(file, sqf_tensor_count(file), &tensor, &error) == SQF_ERROR_USAGE);
  CHECK(sqf_find_tensor(file, "no such tensor", &tensor, &error) == SQF_ERROR_USAGE);
  CHECK(strstr(error.message, "\"no such tensor\"") != NULL);
  CHECK(sqf_get_tensor(file, 0, &tensor, NULL) == SQF_OK);
  CHECK(sqf_get_part(file, 0, tensor.part_count, &part, &error) == SQF_ERROR_USAGE);
  CHECK(error.known == SQF_KNOWN_TENSOR && strcmp(error.tensor, tensor.name) == 0);
  CHECK(sqf_dequantize(file, 0, tensor.experts, 0, 1, value, &error) == SQF_ERROR_USAGE);
  CHECK(sqf_dequantize(file, 0, 0, tensor.rows, 1, value, &error) == SQF_ERROR_USAGE);
  CHECK(sqf_dequantize(file, 0, 0, 0, 1, NULL, &error) == SQF_ERROR_USAGE);
  CHECK(sqf_dequantize(NULL, 0, 0, 0, 1, value, &error) == SQF_ERROR_USAGE);
  CHECK(sqf_verify(file, NULL, NULL, NULL, &error) == SQF_OK);
  CHECK(sqf_verify(file, stop, NULL, &left, &error) == SQF_ERROR_INTERRUPTED);
  sqf_close(file);
  sqf_close(NULL);

  CHECK(sqf_open(argv[3], SQF_VERIFY_FULL, &file, &error) == SQF_ERROR_MALFORMED);
  CHECK(error.rule == 502 && file == NULL);
  CHECK(sqf_open(argv[3], SQF_VERIFY_LAZY, &file, &error) == SQF_OK);
  CHECK(sqf_get_tensor(file, 0, &tensor, NULL) == SQF_OK && tensor.columns <= 4096);
  CHECK(sqf_dequantize(file, 0, 0, 0, 1, value, &error) == SQF_ERROR_MALFORMED);
  CHECK(error.rule == 502 && strcmp(error.tensor, tensor.name) == 0);
  CHECK(sqf_effective(file, 0, 0, 0, 1, value, NULL) == SQF_ERROR_MALFORMED);
  sqf_close(file);
  return failures != 0;
}

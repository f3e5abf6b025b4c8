/* Writes every tensor of a file as f32, one after another: dump FILE.sqf OUT. */
#include <sqf.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char** argv) {
  sqf_file* file = NULL;
  sqf_error error;
  uint32_t i;
  FILE* out;
  if (argc != 3 || sqf_version() != SQF_VERSION || (out = fopen(argv[2], "wb")) == NULL) return 2;
  if (sqf_open(argv[1], SQF_VERIFY_FULL, &file, &error) != SQF_OK) {
    fprintf(stderr, "%s\n", error.message);
    return 1;
  }
  for (i = 0; i < sqf_tensor_count(file); i++) {
    sqf_tensor t;
    uint64_t expert;
    if (sqf_get_tensor(file, i, &t, &error) != SQF_OK) return 1;
    for (expert = 0; expert < t.experts; expert++) {
      const size_t count = (size_t)(t.rows * t.columns);
      float* values = malloc(count * sizeof *values);
      if (values == NULL || sqf_dequantize(file, i, expert, 0, t.rows, values, &error) != SQF_OK ||
          fwrite(values, sizeof *values, count, out) != count)
        return 1;
      free(values);
    }
  }
  sqf_close(file);
  return fclose(out) == 0 ? 0 : 1;
}

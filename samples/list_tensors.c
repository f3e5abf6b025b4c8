/* Lists the tensors of a .sqf file and shows the start of each first row as floats.

   cc samples/list_tensors.c $(pkg-config --cflags --libs sqf) -o list_tensors && ./list_tensors
   model.sqf */
#include <inttypes.h>
#include <sqf.h>
#include <stdio.h>
#include <stdlib.h>

static int show_tensor(const sqf_file* file, uint32_t index, sqf_error* error) {
  sqf_tensor tensor;
  if (sqf_get_tensor(file, index, &tensor, error) != SQF_OK) return 0;
  printf("%-50s [", tensor.name);
  for (uint32_t i = 0; i < tensor.rank; i++) printf("%s%" PRIu64, i ? ", " : "", tensor.shape[i]);
  printf("] %.3f bits/weight:", tensor.bits_per_weight);

  float* row = malloc(tensor.columns * sizeof *row);
  if (row == NULL || sqf_dequantize(file, index, 0, 0, 1, row, error) != SQF_OK) {
    free(row);
    return 0;
  }
  for (uint64_t i = 0; i < tensor.columns && i < 4; i++) printf(" %g", row[i]);
  printf(tensor.columns > 4 ? " ...\n" : "\n");
  free(row);
  return 1;
}

int main(int argc, char** argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: list_tensors FILE.sqf\n");
    return 2;
  }
  sqf_file* file = NULL;
  sqf_error error = {0};
  int good = sqf_open(argv[1], SQF_VERIFY_LAZY, &file, &error) == SQF_OK;
  for (uint32_t i = 0; good && i < sqf_tensor_count(file); i++) good = show_tensor(file, i, &error);
  if (!good) fprintf(stderr, "list_tensors: %s\n", error.code ? error.message : "out of memory");
  sqf_close(file);
  return good ? 0 : 1;
}

/* library MODEL RATE CHANNELS BUDGETS BLOCKS IN.f32 OUT.f32: send raw interleaved samples through the
 * library.
 *
 * BLOCKS are lengths, such as 1,160,1000, taken in turn. With several BUDGETS, such as 0.3,auto, the signal
 * begins anew with each, and the output is that of the last. Prints the delay and the share of compute used,
 * a line for each budget. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sese.h"

static int failed(void) {
  fprintf(stderr, "error: %s\n", sese_error());
  return 2;
}

/* Enhances all of the input; returns 0, or -1 on failure. */
static int enhance(sese_stream* stream, int channels, const char* lengths, FILE* input, FILE* output) {
  const char* at = lengths;
  for (;;) {
    char* next;
    const size_t length = strtoul(at, &next, 10), size = channels * sizeof(float);
    float* block = malloc(length * size);
    const size_t taken = fread(block, size, length, input);
    const int code = sese_process(stream, block, block, taken);
    fwrite(block, size, taken, output);
    free(block);
    at = *next == ',' ? next + 1 : lengths;
    if (code != 0 || taken < length) return code;
  }
}

int main(int count, char** words) {
  if (count != 8) return 2;
  const int channels = atoi(words[3]);
  sese_stream* stream = sese_open(words[1], atoi(words[2]), channels);
  if (stream == NULL) return failed();
  FILE* input = fopen(words[6], "rb");
  FILE* output = fopen(words[7], "wb");
  if (input == NULL || output == NULL) return 2;
  for (const char* budget = strtok(words[4], ","); budget != NULL; budget = strtok(NULL, ",")) {
    rewind(input), rewind(output);
    if (sese_reset(stream) != 0 || sese_set_budget(stream, budget) != 0) return failed();
    if (enhance(stream, channels, words[5], input, output) != 0) return failed();
    printf("%d %.6f\n", sese_latency(stream), sese_utilization(stream));
  }
  sese_close(stream);
  fclose(input);
  return fclose(output) == 0 ? 0 : 1;
}

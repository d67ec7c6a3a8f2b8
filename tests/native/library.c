/* library MODEL RATE CHANNELS BUDGET BLOCKS IN.f32 OUT.f32: send raw interleaved samples through the library.
 *
 * BLOCKS are lengths, such as 1,160,1000, taken in turn. Prints the delay and the share of compute used. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sese.h"

static int failed(void) {
  fprintf(stderr, "error: %s\n", sese_error());
  return 2;
}

int main(int count, char** words) {
  if (count != 8) return 2;
  const int channels = atoi(words[3]);
  sese_stream* stream = sese_open(words[1], atoi(words[2]), channels);
  if (stream == NULL || sese_set_budget(stream, words[4]) != 0) return failed();

  FILE* input = fopen(words[6], "rb");
  FILE* output = fopen(words[7], "wb");
  if (input == NULL || output == NULL) return 2;
  const char* blocks = words[5];
  for (;;) {
    char* next;
    const size_t length = strtoul(blocks, &next, 10), size = channels * sizeof(float);
    float* block = malloc(length * size);
    const size_t taken = fread(block, size, length, input);
    if (sese_process(stream, block, block, taken) != 0) return failed();
    fwrite(block, size, taken, output);
    free(block);
    blocks = *next == ',' ? next + 1 : words[5];
    if (taken < length) break;
  }
  printf("%d %.6f\n", sese_latency(stream), sese_utilization(stream));
  sese_close(stream);
  fclose(input);
  return fclose(output) == 0 ? 0 : 1;
}

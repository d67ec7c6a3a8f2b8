/* The C of docs/guides/native.md as it is printed there: in.f32 goes in, out.f32 comes out. */

#include <stdio.h>

#include "sese.h"

static FILE *input, *output;

static size_t read_block(float* block, size_t count) { return fread(block, sizeof(float), count, input); }

static void play(const float* block, size_t count) { fwrite(block, sizeof(float), count, output); }

int main(void) {
  input = fopen("in.f32", "rb");
  output = fopen("out.f32", "wb");
  if (input == NULL || output == NULL) return 2;
#include "printed.inc"
  return fclose(output) == 0 ? 0 : 1;
}

// The C++ of docs/guides/deploying.md as it is printed there: in.f32 goes in, out.f32 comes out.

#include <cstddef>
#include <fstream>
#include <vector>

#include "sese.h"

static std::ifstream input("in.f32", std::ios::binary);
static std::ofstream output("out.f32", std::ios::binary);

static bool read(std::vector<float>& chunk) {
  chunk.resize(333);
  input.read(reinterpret_cast<char*>(chunk.data()), 333 * sizeof(float));
  chunk.resize(static_cast<std::size_t>(input.gcount()) / sizeof(float));
  return !chunk.empty();
}

static void play(const std::vector<float>& ready) {
  output.write(reinterpret_cast<const char*>(ready.data()),
               static_cast<std::streamsize>(ready.size() * sizeof(float)));
}

int main() {
  std::vector<float> chunk;
#include "printed.inc"
}

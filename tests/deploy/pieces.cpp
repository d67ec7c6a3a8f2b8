// pieces MODEL.onnx IN.f32 OUT.f32: enhance raw mono samples four times, and write the four results.
//
// Two threads have a stream each of one model; each stream takes the signal twice, in pieces of other lengths.

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <thread>
#include <vector>

#include "sese.h"

int main(int count, char** words) {
  if (count != 4) return 2;
  const sese::Model model(words[1]);
  std::ifstream input(words[2], std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(input), {}};
  const auto* samples = reinterpret_cast<const float*>(bytes.data());
  const std::size_t length = bytes.size() / sizeof(float);

  std::array<std::vector<float>, 2> made;
  const auto work = [&](std::vector<float>& out, std::array<std::size_t, 2> pieces) {
    sese::Stream stream(model, 1, model.at_level(1));
    for (const std::size_t piece : pieces) {
      for (std::size_t at = 0; at < length; at += piece)
        stream.feed(samples + at, std::min(piece, length - at), out);
      stream.flush(out);
    }
  };
  std::thread other(work, std::ref(made[1]), std::array<std::size_t, 2>{1, 100});
  work(made[0], {1000, length});
  other.join();

  std::ofstream output(words[3], std::ios::binary);
  for (const auto& part : made)
    output.write(reinterpret_cast<const char*>(part.data()),
                 static_cast<std::streamsize>(part.size() * sizeof(float)));
  return output.good() ? 0 : 1;
}

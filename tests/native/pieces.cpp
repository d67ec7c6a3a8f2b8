// pieces MODEL.onnx IN.f32 OUT.f32: enhance raw mono samples four times, and write the four results.
//
// Two threads have a stream each of one model; each stream takes the signal twice, in pieces of other
// lengths.

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
  std::ifstream input(words[2], std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(input), {}};
  std::vector<float> samples(bytes.size() / sizeof(float));
  std::copy_n(bytes.data(), samples.size() * sizeof(float), reinterpret_cast<char*>(samples.data()));
  const std::size_t length = samples.size();

  std::array<std::vector<float>, 2> made;
  const auto work = [&](std::vector<float>& all, std::array<std::size_t, 2> pieces) {
    sese_stream* const stream = sese_open(words[1], 16000, 1);
    const auto late = static_cast<std::size_t>(sese_latency(stream));
    std::vector<float> heard = samples, out(length + late);
    heard.resize(length + late);
    if (sese_set_level(stream, 1) != 0) return;
    for (const std::size_t piece : pieces) {
      for (std::size_t at = 0; at < out.size(); at += piece)
        sese_process(stream, heard.data() + at, out.data() + at, std::min(piece, out.size() - at));
      all.insert(all.end(), out.begin() + static_cast<std::ptrdiff_t>(late), out.end());
      sese_reset(stream);
    }
    sese_close(stream);
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

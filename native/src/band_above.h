// Gain for the band above the model's own, which follows the band below: src/sese/runtime/band_above.py.
#pragma once

#include <cstddef>
#include <deque>
#include <vector>

namespace sese {

// One gain for all channels at the rate of the stream, from the input and the output of the model.
class BandAbove {
 public:
  BandAbove(int model_hz, int rate_hz, std::size_t hop, std::size_t lookahead);

  // Takes the model's next output frame and the input frame that it belongs to, of every channel.
  void add(const std::vector<const float*>& enhanced, const std::vector<const float*>& heard);
  // Writes the gains of the stream's next samples.
  void read(float* gains, std::size_t count);
  void reset();

 private:
  struct Point {
    double at;  // samples at the model's rate, counted in the signal
    double gain;
  };

  double energy(const std::vector<const float*>& frames);

  double ratio_, hop_, lookahead_, silent_, rise_, fall_;
  std::size_t length_, bins_;
  std::vector<float> window_;             // [sample], a Hann window
  std::vector<double> cosine_, sine_;     // [sample, bin] of the first half
  std::vector<double> real_, imaginary_;  // [bin]
  std::deque<Point> points_;
  double last_ = 0;
  long long frames_ = 0, given_ = 0;
};

}  // namespace sese

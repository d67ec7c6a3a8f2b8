// What a model leaves of its input, in six bands and in the upper part of its band:
// src/sese/runtime/model_gain.py.
#pragma once

#include <array>
#include <cstddef>
#include <vector>

namespace sese {

constexpr std::size_t kBelow = 6;  // bands in the model's band
constexpr std::size_t kUpper = 4;  // first band of the upper part

// The powers that a model gets and leaves in each band at a point of time, and its gain.
struct Measured {
  float gain;                       // in the upper part of the band
  std::array<float, kBelow> heard;  // mean power of the input in each band
  std::array<float, kBelow> left;   // the same of the output
};

// Measures part by part.
class ModelGain {
 public:
  // `part`: samples that each value is measured over, at the model's rate.
  ModelGain(int model_hz, int rate_hz, std::size_t part, std::size_t lookahead);

  std::size_t skipped() const { return skipped_; }  // parts from before the signal

  // Takes the next `count` parts of the model's output and input, and appends the values at the end of each
  // part. The first part of the signal has some at its beginning as well; earlier ones have
  // none.
  void add(const float* enhanced, const float* heard, std::size_t count, std::vector<Measured>& measured);
  void reset();

 private:
  using Powers = std::array<double, kBelow>;

  Powers power(const float* samples);

  std::size_t part_, skipped_, bins_, parts_ = 0;
  std::array<std::size_t, kBelow + 1> limits_;  // first bin of each band, and the one behind the last band
  double energy_ = 0, keep_, last_ = -1;        // of the window; the last gain: none yet
  std::vector<double> cosine_, sine_;           // [sample, bin], in a Hann window
  std::vector<double> real_, imaginary_;        // [bin]
};

}  // namespace sese

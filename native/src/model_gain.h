// What a model leaves of its input, in six bands and in the upper part of its band:
// src/sese/runtime/model_gain.py.
#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "transform.h"

namespace sese {

constexpr std::size_t kBelow = 6;  // bands in the model's band
constexpr std::size_t kUpper = 4;  // first band of the upper part

// The powers that a model gets and leaves in each band in a part of time, and its gain.
struct Measured {
  float before, gain;               // in the upper part of the band, at the begin and at the end
  std::array<float, kBelow> heard;  // mean power of the input in each band
  std::array<float, kBelow> left;   // the same of the output
};

// Measures part by part.
class ModelGain {
 public:
  // `part`: samples that each value is measured over, at the model's rate.
  ModelGain(int model_hz, int rate_hz, std::size_t part);

  // Measures the next part of the model's output and input.
  Measured operator()(const float* enhanced, const float* heard);
  void reset() { last_ = -1; }

 private:
  std::array<float, kBelow> power(const float* samples);

  std::array<std::size_t, kBelow + 1> limits_;  // first bin of each band, and the one behind the last band
  std::vector<float> window_, samples_;
  std::size_t step_;  // between two bins of the transform, whose length is even
  Transform transform_;
  Complexes spectrum_;
  float energy_ = 0, keep_ = 0, last_ = -1;  // of the window; of the last gain: none yet
};

}  // namespace sese

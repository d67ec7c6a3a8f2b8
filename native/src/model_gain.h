// The gain of a model in the upper part of its band: src/sese/runtime/model_gain.py.
#pragma once

#include <cstddef>
#include <vector>

namespace sese {

// Measures gains part by part, one for all channels.
class ModelGain {
 public:
  // `part`: samples that each gain is measured over, at the model's rate.
  ModelGain(int model_hz, int rate_hz, std::size_t part, std::size_t lookahead);

  std::size_t skipped() const { return skipped_; }  // parts from before the signal

  // Takes the next `count` parts of the model's output and input, of every channel, and appends the gain at
  // the end of each part. The first part of the signal has one at its beginning as well; earlier ones have
  // none.
  void add(const std::vector<const float*>& enhanced, const std::vector<const float*>& heard,
           std::size_t count, std::vector<float>& gains);
  void reset();

 private:
  double energy(const std::vector<const float*>& audio, std::size_t begin);

  std::size_t part_, skipped_, bins_, parts_ = 0;
  double silent_ = 0, keep_, last_ = -1;  // none yet
  std::vector<double> cosine_, sine_;     // [sample, bin], in a Hann window
  std::vector<double> real_, imaginary_;  // [bin]
};

}  // namespace sese

// Gains for the bands above a model's band, by a small recurrent network: src/sese/runtime/band_head.py and
// band_evidence.py.
#pragma once

#include <cstddef>
#include <vector>

#include "high_bands.h"
#include "model_gain.h"

namespace sese {

// The network's weights, a safetensors file.
extern const unsigned char kBandHead[];
extern const std::size_t kBandHeadSize;

class BandHead {
 public:
  // `seconds`: between two points of time.
  explicit BandHead(double seconds);

  // Returns the gain of each band at the next point, for the mean power in each.
  const Values& operator()(const Values& above, const Measured& measured);
  void reset();

 private:
  struct Weights;

  static const Weights& weights();
  float hear(const Values& above, const Measured& measured);
  float steady_noise(float power, std::size_t band);

  float keep_, mean_ = -1;  // of the running mean of the power: none yet
  float smooth_, rise_;     // of the power of a band, of its floor
  Values levels_, floors_;  // smoothed powers, and their floors
  Values heard_;            // values at this point, 1, state
  Values input_, before_;   // of the gates, from the values and from the state
  Values gains_;
};

}  // namespace sese

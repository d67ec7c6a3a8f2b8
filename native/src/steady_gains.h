// Gains for the bands above a model's band, such that steady noise stays equally low under speech:
// src/sese/runtime/steady_gains.py.
#pragma once

#include "noise_floor.h"

namespace sese {

class SteadyGains {
 public:
  // `seconds`: between two points of time. `window`: over which the power of a point is measured, in seconds.
  SteadyGains(double seconds, double window);

  // Returns the gain of each band at the next point, for the mean power in each, and the gain of the model.
  const Values& operator()(const Values& power, float gain);
  void reset();

 private:
  Smooth smooth_;
  NoiseFloor noise_floor_;
  Lowest lowest_;
  Values power_, noise_, quiet_;
};

}  // namespace sese

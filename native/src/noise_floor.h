// The power of steady noise under speech, by minimum statistics: src/sese/runtime/noise_floor.py.
#pragma once

#include <cstddef>
#include <deque>
#include <vector>

namespace sese {

using Values = std::vector<float>;  // of each band at a point of time

// Smooths values in time with one pole. A time constant of 0 changes nothing.
class Smooth {
 public:
  Smooth(double seconds, double time_constant);
  void operator()(Values& values);
  void reset() { last_.clear(); }

 private:
  double keep_;
  Values last_;
};

// The lowest of the last values, about `count` of them.
class Lowest {
 public:
  explicit Lowest(double count);
  void operator()(Values& values);
  void reset();

 private:
  std::size_t length_, number_ = 0;  // of a part, and values in this one
  std::deque<Values> parts_;         // lowest values of earlier parts
  Values past_, part_;
};

// Turns the power at the next point of time into that of the noise. `seconds`: between two points.
class NoiseFloor {
 public:
  explicit NoiseFloor(double seconds);
  void operator()(Values& power);
  void reset();

 private:
  Smooth smooth_;
  Lowest lowest_;
  std::size_t warm_, cold_;  // points until the power is smooth, and those that are left
};

}  // namespace sese

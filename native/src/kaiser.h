// Parts of filters: a sinc in a Kaiser window.
#pragma once

#include <algorithm>
#include <cmath>

namespace sese {

constexpr double kPi = 3.14159265358979323846;
constexpr double kReachSeconds = 0.002;  // of the resampling filters before and after a sample

inline double sinc(double x) { return x == 0 ? 1.0 : std::sin(kPi * x) / (kPi * x); }

// The modified Bessel function of order 0, by its series.
inline double bessel(double x) {
  double sum = 1, term = 1;
  for (int k = 1; term > 1e-17 * sum; ++k) sum += term *= x * x / (4.0 * k * k);
  return sum;
}

// The window for an attenuation of 50 dB or more, `at` a place from -1 to 1. Not divided by its middle: the
// taps of a filter are divided by their sum.
inline double kaiser(double at, double attenuation_db) {
  const double beta = 0.1102 * (attenuation_db - 8.7);
  return bessel(beta * std::sqrt(std::max(1 - at * at, 0.0)));
}

}  // namespace sese

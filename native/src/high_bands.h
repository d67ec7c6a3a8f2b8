// The input above a model's band in narrow bands, with a gain for each: src/sese/runtime/high_bands.py.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "product.h"
#include "transform.h"

namespace sese {

using Values = std::vector<float>;  // of each band at a point of time

// The edges of the bands in Hz, one more than there are bands; none where the rate has no room.
std::vector<double> band_edges(int model_hz, int rate_hz);

// Points of time at which gains are given: each frame of a model in equal parts.
struct Points {
  Points(int model_hz, int rate_hz, std::size_t hop, std::size_t lookahead);

  // The sample of a point, counted in the signal. Points are counted from the model's first frame on.
  std::int64_t at(std::int64_t number) const;

  bool close;            // whether the points are close enough for filters
  std::size_t part;      // samples between two points, at the model's rate
  double seconds;        // the same in seconds
  std::size_t spacing;   // largest distance of two points; as many samples before and after decide on gains
  std::int64_t skipped;  // the first point: the signal begins there or later, before the next one

 private:
  std::int64_t model_hz_, rate_hz_, lookahead_;
};

// Filters one channel by gains that change over time and frequency.
class HighBands {
 public:
  // `spacing`: largest distance of two points in samples.
  HighBands(std::size_t spacing, const std::vector<double>& edges, int rate_hz);

  // Returns the mean power in each band around a point of time, so many samples behind the one before and
  // before the one after. `audio` begins `spacing` samples before the point, and ends as many behind it.
  const Values& take(const float* audio, std::size_t before, std::size_t after);
  // Returns the same samples, filtered by gains at the point, to be added up.
  const Values& apply(const Values& gains);

 private:
  void respond(const std::vector<double>& edges, int rate_hz);
  void window();

  std::size_t spacing_, first_ = 0;  // first bin that a band lets through
  std::vector<std::size_t> bounds_;  // first bin of each band, and the one behind the last band
  Transform transform_;
  Product response_;               // [band, bin from the first on]
  std::array<Values, 2> windows_;  // falling half, for distances of `spacing` and one less
  std::size_t before_ = 0, after_ = 0;  // distances of the neighbours of the point taken
  Complexes spectrum_;
  Values samples_, gain_, power_;
};

}  // namespace sese

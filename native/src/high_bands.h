// The input above a model's band in narrow bands, with a gain for each: src/sese/runtime/high_bands.py.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "fifo.h"
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
  std::int64_t reach;    // samples before and after a point that decide on its gains, at the stream's rate
  std::int64_t spacing;  // largest distance of two points
  std::int64_t frame;    // length of a frame, rounded up

 private:
  double first_, step_;
};

// Filters one channel by gains that change over time and frequency.
class HighBands {
 public:
  HighBands(const Points& points, const std::vector<double>& edges, int rate_hz);

  // Takes the next samples.
  void feed(const float* audio, std::size_t count) { heard_.append({audio}, count); }
  // Returns the mean power in each band around a point. Everything within `reach` was fed.
  const Values& take(std::int64_t at);
  // Sets the gains of the point taken, between one before and one after.
  void apply(std::int64_t before, std::int64_t at, std::int64_t after, const Values& gains);
  // Adds the next samples to `to`.
  void read(float* to, std::size_t count);
  void reset();

 private:
  void respond(const std::vector<double>& edges, int rate_hz);

  Points points_;
  std::size_t size_;
  std::vector<std::size_t> bounds_;            // first bin of each band, and the one behind the last band
  std::vector<std::vector<float>> responses_;  // [band, bin]
  Transform transform_;
  std::vector<Complex> spectrum_, filtered_;  // at the point taken
  std::vector<float> gain_, samples_;
  Values power_;
  Fifo heard_, ready_;
  std::int64_t begin_ = 0, given_ = 0;  // samples at which these begin
};

}  // namespace sese

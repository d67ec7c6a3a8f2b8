// Adds what lies above a model's band, which the model does not hear: src/sese/runtime/band_above.py.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "band_head.h"
#include "high_bands.h"
#include "model_gain.h"

namespace sese {

// For one channel of a stream.
class BandAbove {
 public:
  BandAbove(int model_hz, int rate_hz, std::size_t hop, std::size_t lookahead);

  // Takes the next samples of the stream's input.
  void feed(const float* audio, std::size_t count);
  // Takes the model's next output frame and the input frame that it belongs to.
  void add(const float* enhanced, const float* heard);
  // Turns the next samples of what resampling loses of the input into what is to be added to the model's
  // output.
  void read(float* rest, std::size_t count);
  void reset();

 private:
  struct Gain {
    std::int64_t at;  // sample of the stream
    float value;
  };

  void filter(std::int64_t at, const Measured& measured);

  Points points_;
  std::size_t parts_;  // of a frame
  ModelGain gain_;
  std::optional<HighBands> bands_;
  BandHead head_;
  std::vector<Measured> measured_;
  Values more_;
  std::int64_t next_ = 0;  // point
  std::int64_t given_ = 0;
  std::deque<Gain> gains_;
};

}  // namespace sese

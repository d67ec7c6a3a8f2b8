// What a stream has above a model's band, which the model does not hear: src/sese/runtime/band_above.py.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "band_head.h"
#include "fifo.h"
#include "high_bands.h"
#include "model_gain.h"

namespace sese {

// For one channel of a stream. The result is the sum of what `add` leaves in the model's output, once it is
// resampled, and of what `read` adds.
class BandAbove {
 public:
  BandAbove(int model_hz, int rate_hz, std::size_t hop, std::size_t lookahead);

  // Takes the next samples of the stream's input.
  void feed(const float* audio, std::size_t count) { input_.append(audio, count); }
  // Takes the model's next output frame and the input frame that it belongs to, and subtracts the model's
  // gain times the input from the output.
  void add(float* enhanced, const float* heard);
  // Adds to the next samples at the stream's rate.
  void read(float* samples, std::size_t count);
  void reset();

 private:
  void treat(const Measured& measured);

  Points points_;
  std::size_t parts_;  // of a frame
  ModelGain gain_;
  std::optional<HighBands> bands_;
  BandHead head_;
  Values more_;
  std::int64_t part_ = 0, begin_ = 0;  // next part of the model's frames; first sample of `input_`
  Fifo input_, ready_;                 // the latter ends with what bands add behind the last point
};

}  // namespace sese

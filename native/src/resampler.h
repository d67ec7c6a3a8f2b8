// Short resampling filters for live streams, as in src/sese/audio/polyphase.py: a sample waits for 2 ms.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "fifo.h"

namespace sese {

// Output sample k lies at the same time as input sample k * source_hz / target_hz. Equal rates pass through.
class Resampler {
 public:
  Resampler(int source_hz, int target_hz, std::size_t channels);

  // Takes all of `from` and appends what is ready to `to`.
  void feed(Fifo& from, Fifo& to);
  void reset();

 private:
  std::int64_t up_, down_, reach_;
  std::vector<float> kernels_;  // [phase, tap]
  Fifo heard_;                  // input from sample `begin_` on, which later samples need
  std::int64_t begin_ = 0, fed_ = 0, returned_ = 0;
};

// How many output samples have been returned in all after `fed` input samples.
std::int64_t ready_samples(std::int64_t fed, int source_hz, int target_hz);

// The longest wait of a sample in a stream, counted in its samples: hop and lookahead, and both resamplers.
std::int64_t longest_wait(int rate_hz, int model_hz, std::int64_t hop, std::int64_t lookahead);

}  // namespace sese

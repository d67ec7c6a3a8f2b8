// One signal at any rate on its way through a model, at a fixed delay.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "band_above.h"
#include "fifo.h"
#include "model.h"
#include "resampler.h"

namespace sese {

class Stream {
 public:
  // Throws std::invalid_argument where the rate or the number of channels is out of range.
  Stream(std::shared_ptr<Model> model, int sample_rate, int channels);

  const Facts& facts() const { return facts_; }
  std::size_t latency() const { return latency_; }
  void set_rule(const Rule& rule) { rule_ = rule; }
  void set_ceiling(std::int64_t level) { ceiling_ = level; }

  // Takes `count` samples of each channel, interleaved, and returns as many, late by the latency. Throws
  // std::invalid_argument where one is NaN or infinity, and takes none then.
  void process(const float* in, float* out, std::size_t count);
  void reset();

  // Mean share of compute of the frames so far; 0 before any.
  double utilization() const { return frames_ == 0 ? 0.0 : used_ / static_cast<double>(frames_); }

 private:
  void enhance();
  void frame();

  const Facts& facts_;
  std::size_t channels_, latency_;
  Rule rule_;
  std::int64_t ceiling_;
  Step step_;
  Resampler to_model_, from_model_;
  std::vector<BandAbove> above_;  // of each channel; none at the model's rate
  // What waits: input, input at the model's rate, the same until its enhanced counterpart, enhanced samples
  // at that rate, output.
  Fifo input_, low_, heard_, enhanced_, output_;
  std::size_t early_ = 0;  // enhanced samples from before the signal, still to be dropped
  double used_ = 0;
  std::size_t frames_ = 0;
};

}  // namespace sese

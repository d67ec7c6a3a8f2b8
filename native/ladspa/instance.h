// What one plugin in a host does in each audio callback: nothing that allocates, locks or waits.
//
// The output is the enhanced signal mixed with the input, both late by `latency`: the model's delay and that
// of the buffer, by which the worker may be late. Where it is later, the delayed input is played, and the
// enhanced samples that come too late are dropped, so that the delay stays.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "worker.h"

namespace sese {

constexpr float kNoLimit = 100;  // dB of attenuation from which on there is no limit

// What the host sets for a callback.
struct Controls {
  float budget;          // share of compute; 0: automatic
  float mix;             // share of the enhanced signal, in [0, 1]
  float attenuation_db;  // strongest attenuation
  bool bypass;           // whether the delayed input is played
  float buffer_ms;       // how late the worker may be; read at the start of a signal
  bool wait;             // whether to wait for the worker, in a host that renders faster than real time
};

class Instance {
 public:
  // Throws std::runtime_error where the model cannot be opened.
  Instance(const std::string& model, int sample_rate, std::size_t channels);

  // Begins a new signal.
  void activate();
  // `in` and `out` hold a pointer for each channel; they may be the same.
  void run(const float* const* in, float* const* out, std::size_t count, const Controls& controls);

  // In samples. Fixed by the first callback; it grows if the host's callbacks do beyond the buffer.
  std::size_t latency() const { return buffer_ + model_latency_; }
  std::uint64_t underruns() const { return underruns_; }  // callbacks that had too few enhanced samples

 private:
  void read(const Controls& controls, std::size_t count);
  void piece(const float* const* in, float* const* out, std::size_t at, std::size_t count);
  bool running(std::size_t count);
  void restart();
  void start();
  std::size_t ready(std::size_t wanted);
  void play(float* const* out, std::size_t at, std::size_t count, std::size_t first, std::size_t end);
  float& dry(std::size_t position, std::size_t channel);

  std::size_t channels_, rate_;
  Worker worker_;
  std::size_t model_latency_, buffer_ = 0;
  std::vector<float> dry_;    // the last samples of the input, [position, channel]
  std::size_t position_ = 0;  // samples of the signal so far

  float wet_ = 1, gain_ = 0;  // share of the enhanced signal: what is asked for, and what is played
  bool wait_ = false;
  bool fresh_ = true;      // whether the delay is still to be settled
  bool running_ = false;   // whether the worker gets the input; else it is restarting
  bool clean_ = true;      // whether the worker has got the whole signal, on time
  std::size_t ahead_ = 0;  // samples to play before the worker's
  std::size_t blank_ = 0;  // samples of the worker that are silent because it was restarted
  std::size_t late_ = 0;   // samples of the worker that come too late
  bool short_ = false;     // whether this callback had too few enhanced samples
  std::uint64_t underruns_ = 0;
};

}  // namespace sese

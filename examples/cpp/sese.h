// A sese model run by ONNX Runtime: samples in, enhanced samples out, one frame at a time.
//
// Copy sese.h and sese.cpp into a project. What the model file promises is written in docs/guides/deploying.md.
#pragma once

#include <onnxruntime_cxx_api.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace sese {

struct Level {
  double utilization;      // share of compute, in (0, 1]
  double macs_per_second;  // multiplications and additions of one channel
};

// The facts about a model, read from the metadata `sese` of its file.
struct Facts {
  std::string name;
  int sample_rate;                // Hz
  std::size_t hop_length;         // samples of a frame
  std::size_t lookahead_samples;  // samples by which the model's output is late
  std::size_t latency_samples;    // hop and lookahead: the longest that a sample waits
  std::vector<Level> levels;      // cheapest first
  bool router;                    // whether the model can choose levels itself
  bool gates;                     // whether it then picks channels, with any share of the compute
  bool alternatives;              // whether levels are experts of equal cost, of which one runs
  bool rests;                     // whether a dial lets it run no level where nobody speaks or nothing disturbs
};

// Who decides on the level of a frame. Make it with the functions of Model.
struct Rule {
  std::int64_t level;    // 0 the cheapest; -1 leaves it to the router
  float budget;          // mean share of compute, in (0, 1], within which a dial stays; 0: it decides freely
  std::int64_t ceiling;  // highest level that the router may choose
};

// A model file, opened for one thread. Any number of streams may share it, from any threads.
class Model {
 public:
  // Throws std::runtime_error where the file is no model of the format that this code reads, and
  // Ort::Exception where ONNX Runtime cannot open it.
  explicit Model(const std::string& path);

  const Facts& facts() const { return facts_; }

  // One level, always. Throws std::invalid_argument where there is none of this number.
  Rule at_level(std::int64_t level) const;
  // A share of compute, from the lowest level's to 1: the highest level within it always runs. A model that
  // rests runs the highest level whose mean stays within it. Where gates decide, on channels or on experts,
  // there is 1 alone. Throws std::invalid_argument outside that range.
  Rule within(double budget) const;
  // The router, freely. Throws std::invalid_argument where the model has none.
  Rule automatic() const;

 private:
  friend class Stream;
  Ort::Env env_;
  mutable Ort::Session session_;  // runs in many threads at once, yet its Run is not const
  Facts facts_;
  std::vector<std::pair<std::string, std::vector<std::int64_t>>> states_;  // name, shape behind the batch
};

// One signal on its way through a model.
//
// What comes out is as long as what went in and aligned with it to the sample, however it was divided. All
// memory of a frame is made once: the state goes from one set of arrays into another, which change places.
class Stream {
 public:
  // The model must outlive the stream. Channels are enhanced side by side, at one level a frame.
  Stream(const Model& model, std::size_t channels, const Rule& rule);
  Stream(const Stream&) = delete;  // the bindings point at the arrays
  Stream& operator=(const Stream&) = delete;

  // Who decides, from the next frame on.
  void set_rule(const Rule& rule);
  // Takes `count` samples of each channel, interleaved, in [-1, 1] and finite; appends what is ready to
  // `ready`, interleaved.
  void feed(const float* samples, std::size_t count, std::vector<float>& ready);
  // Ends the signal: appends exactly the samples that are missing. The next feed begins a new one.
  void flush(std::vector<float>& ready);

  // Mean share of compute used by the frames so far, in (0, 1]; 0 before any.
  double utilization() const { return frames_ == 0 ? 0.0 : used_ / static_cast<double>(frames_); }

 private:
  void run();
  void append(std::vector<float>& ready, std::size_t limit);
  void restart();
  Ort::IoBinding bind(std::size_t from);

  const Model& model_;
  std::size_t channels_;
  Rule rule_;
  float used_now_ = 0;
  std::vector<float> audio_, enhanced_;                    // [channel, hop]
  std::array<std::vector<std::vector<float>>, 2> states_;  // now and next, by turns
  std::vector<Ort::IoBinding> bindings_;                   // for either turn
  std::size_t turn_ = 0, filled_ = 0, early_ = 0;          // `early_`: samples from before the signal
  std::uint64_t fed_ = 0, returned_ = 0, frames_ = 0;
  double used_ = 0;
};

}  // namespace sese

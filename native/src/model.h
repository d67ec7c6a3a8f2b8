// A model file, opened by ONNX Runtime for one thread, and one signal's frames through it.
#pragma once

#include <onnxruntime_cxx_api.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "budget.h"
#include "facts.h"

namespace sese {

class Model {
 public:
  // Opens model.onnx or the folder that holds it, or returns the model that is open already. Throws
  // std::runtime_error where the file is no model of the format that this code reads, and Ort::Exception
  // where ONNX Runtime cannot open it.
  static std::shared_ptr<Model> open(const std::string& path);

  explicit Model(const std::string& path);
  const Facts& facts() const { return facts_; }

 private:
  friend class Step;
  Ort::Env env_;
  Ort::Session session_;  // runs in many threads at once
  Facts facts_;
  std::vector<std::pair<std::string, std::vector<std::int64_t>>> states_;  // name, shape behind the batch
};

// Frame after frame of one signal. All memory of a frame is allocated once: the state goes from one set of
// arrays into another, which change places.
class Step {
 public:
  Step(std::shared_ptr<Model> model, std::size_t channels);
  Step(const Step&) = delete;  // the bindings point at the arrays
  Step& operator=(const Step&) = delete;

  float* audio(std::size_t channel) { return audio_.data() + channel * hop_; }  // to be filled with a frame
  float* enhanced(std::size_t channel) { return enhanced_.data() + channel * hop_; }

  // Enhances the frame in `audio`; returns the share of compute that it used. Throws std::runtime_error where
  // the model gives NaN or infinity.
  double run(const Rule& rule, std::int64_t ceiling);
  // Forgets the signal.
  void reset();

 private:
  Ort::IoBinding bind(std::size_t from);

  std::shared_ptr<Model> model_;
  std::size_t channels_, hop_;
  std::int64_t level_ = 0, ceiling_ = 0;
  float budget_ = 0, used_ = 0;
  std::vector<float> audio_, enhanced_;                    // [channel, hop]
  std::array<std::vector<std::vector<float>>, 2> states_;  // now and next, by turns
  std::vector<Ort::IoBinding> bindings_;                   // for either turn
  std::size_t turn_ = 0;
};

}  // namespace sese

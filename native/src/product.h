// Products of vectors and matrices, many values at a time.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "lanes.h"

namespace sese {

// Eight sums side by side.
inline float dot(const float* a, const float* b, std::size_t count) {
  float sums[8] = {};
  std::size_t i = 0;
  for (; i + 8 <= count; i += 8)
    for (std::size_t lane = 0; lane < 8; ++lane) sums[lane] += a[i + lane] * b[i + lane];
  float sum = 0;
  for (; i < count; ++i) sum += a[i] * b[i];
  for (const float lane : sums) sum += lane;
  return sum;
}

// A matrix that turns one vector into another.
class Product {
 public:
  explicit Product(std::size_t inputs = 0, std::size_t outputs = 0)
      : inputs_(inputs),
        width_((outputs + kAtOnce / 2 - 1) / (kAtOnce / 2) * (kAtOnce / 2)),
        weights_(inputs * width_) {}

  float& weight(std::size_t input, std::size_t output) {
    const std::size_t at = output % kAtOnce, group = output - at;
    return weights_[group * inputs_ + input * std::min(kAtOnce, width_ - group) + at];
  }

  // Writes the outputs; zeros may follow them.
  void operator()(const float* inputs, std::vector<float>& outputs) const {
    outputs.resize(width_);
    std::size_t at = 0;
    for (; at + kAtOnce <= width_; at += kAtOnce) sum<kSums>(inputs, at, outputs);
    if (at < width_) sum<kSums / 2>(inputs, at, outputs);
  }

 private:
  static constexpr std::size_t kSums = 8, kAtOnce = kSums * kLanes;  // as many as fit into registers

  // Writes outputs from `at` on.
  template <std::size_t kCount>
  void sum(const float* inputs, std::size_t at, std::vector<float>& outputs) const {
    Lanes sums[kCount] = {};
    const float* row = weights_.data() + at * inputs_;
    for (std::size_t input = 0; input < inputs_; ++input, row += kCount * kLanes)
      for (std::size_t i = 0; i < kCount; ++i) sums[i] += inputs[input] * load<Lanes>(row + i * kLanes);
    for (std::size_t i = 0; i < kCount; ++i) store(sums[i], outputs.data() + at + i * kLanes);
  }

  std::size_t inputs_, width_;
  std::vector<float> weights_;  // [group of outputs, input, output in its group]
};

}  // namespace sese

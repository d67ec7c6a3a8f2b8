// Samples of several channels that wait, oldest first.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace sese {

class Fifo {
 public:
  explicit Fifo(std::size_t channels) : lines_(channels) {}

  std::size_t channels() const { return lines_.size(); }
  std::size_t size() const { return size_; }

  // The oldest sample of a channel; the others lie behind it.
  float* at(std::size_t channel) { return lines_[channel].data() + start_; }

  // Adds zeros to every channel.
  void extend(std::size_t count) {
    if (start_ >= kIdle) {
      for (auto& line : lines_)
        std::copy(line.begin() + static_cast<std::ptrdiff_t>(start_), line.end(), line.begin());
      start_ = 0;
    }
    size_ += count;
    for (auto& line : lines_) {
      line.resize(start_ + size_ - count);
      line.resize(start_ + size_, 0.0F);
    }
  }

  // Adds `count` samples of a channel of its own to each.
  void append(const std::vector<const float*>& channels, std::size_t count) {
    const std::size_t before = size_;
    extend(count);
    for (std::size_t channel = 0; channel < lines_.size(); ++channel)
      std::copy_n(channels[channel], count, at(channel) + before);
  }

  // Adds samples where there is one channel.
  void append(const float* samples, std::size_t count) {
    extend(count);
    std::copy_n(samples, count, at(0) + size_ - count);
  }

  void drop(std::size_t count) {
    start_ += count;
    size_ -= count;
  }

  // Leaves `count` zeros.
  void restart(std::size_t count) {
    start_ = size_ = 0;
    for (auto& line : lines_) line.clear();
    extend(count);
  }

 private:
  static constexpr std::size_t kIdle = 4096;  // dropped samples that are worth moving the others for

  std::vector<std::vector<float>> lines_;
  std::size_t start_ = 0, size_ = 0;
};

}  // namespace sese

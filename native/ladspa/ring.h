// A ring buffer between two threads, one that writes and one that reads, without locks.
#pragma once

#include <atomic>
#include <cstddef>
#include <vector>

namespace sese {

// Holds samples of several channels. Only one thread calls the functions of the writer, and only one those of
// the reader. Nothing is allocated behind the constructor.
class Ring {
 public:
  // At least `capacity` samples of each channel.
  Ring(std::size_t channels, std::size_t capacity) : channels_(channels) {
    while (capacity_ < capacity) capacity_ *= 2;
    samples_.resize(capacity_ * channels);
  }

  // The writer: how many samples there is room for, the place of the one `ahead` of the next, and that
  // `count` are there.
  std::size_t room() const {
    return capacity_ - (written_.load(relaxed) - read_.load(std::memory_order_acquire));
  }
  float& place(std::size_t ahead, std::size_t channel) { return at(written_.load(relaxed) + ahead, channel); }
  void commit(std::size_t count) {
    written_.store(written_.load(relaxed) + count, std::memory_order_release);
  }

  // The reader: how many samples there are, the one `ahead` of the oldest, and that `count` are done with.
  std::size_t waiting() const { return written_.load(std::memory_order_acquire) - read_.load(relaxed); }
  float sample(std::size_t ahead, std::size_t channel) { return at(read_.load(relaxed) + ahead, channel); }
  void drop(std::size_t count) { read_.store(read_.load(relaxed) + count, std::memory_order_release); }

 private:
  static constexpr auto relaxed = std::memory_order_relaxed;

  float& at(std::size_t position, std::size_t channel) {
    return samples_[(position & (capacity_ - 1)) * channels_ + channel];
  }

  std::size_t channels_, capacity_ = 1;
  std::vector<float> samples_;
  std::atomic<std::size_t> written_{0}, read_{0};  // since the beginning; they wrap together
};

}  // namespace sese

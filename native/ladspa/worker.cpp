#include "worker.h"

#include <algorithm>
#include <cstdio>
#include <locale>
#include <sstream>
#include <stdexcept>

namespace sese {
namespace {

constexpr std::size_t kBlock = 1024;  // samples that are enhanced at a time

}  // namespace

Worker::Worker(const std::string& model, int sample_rate, std::size_t channels, std::size_t capacity)
    : input(channels, capacity),
      output(channels, capacity),
      channels_(channels),
      stream_(sese_open(model.c_str(), sample_rate, static_cast<int>(channels))),
      block_(channels * kBlock) {
  if (!stream_) throw std::runtime_error(sese_error());
  // The first run takes longer than others.
  sese_process(stream_.get(), block_.data(), block_.data(), kBlock);
  sese_reset(stream_.get());
  sem_init(&ready_, 0, 0);
  thread_ = std::thread(&Worker::work, this);
}

Worker::~Worker() {
  stop_ = true;
  wake();
  thread_.join();
  sem_destroy(&ready_);
}

void Worker::wake() {
  int awake = 0;
  if (sem_getvalue(&ready_, &awake) != 0 || awake < 1) sem_post(&ready_);
}

void Worker::work() {
  while (!stop_) {
    sem_wait(&ready_);
    if (!restarted()) {
      input.drop(input.waiting());
      sese_reset(stream_.get());
      failed_.store(false, std::memory_order_relaxed);
      restart_.store(false, std::memory_order_release);
    }
    while (!stop_ && restarted() && !failed() && enhance()) {
    }
  }
}

// Enhances what waits, up to a block; returns whether it did.
bool Worker::enhance() {
  const std::size_t count = std::min({input.waiting(), output.room(), kBlock});
  if (count == 0) return false;
  follow_budget();
  for (std::size_t i = 0; i < count; ++i)
    for (std::size_t channel = 0; channel < channels_; ++channel)
      block_[i * channels_ + channel] = input.sample(i, channel);
  input.drop(count);
  if (sese_process(stream_.get(), block_.data(), block_.data(), count) != 0) {
    std::fprintf(stderr, "sese: %s\n", sese_error());
    failed_.store(true, std::memory_order_release);
    return false;
  }
  for (std::size_t i = 0; i < count; ++i)
    for (std::size_t channel = 0; channel < channels_; ++channel)
      output.place(i, channel) = block_[i * channels_ + channel];
  output.commit(count);
  return true;
}

// A share below the lowest level's runs the lowest; a model without a router runs everything at 0.
void Worker::follow_budget() {
  const float share = budget_.load(std::memory_order_relaxed);
  if (share == share_) return;
  share_ = share;
  const bool automatic = !(share > 0);
  std::ostringstream number;
  number.imbue(std::locale::classic());
  number << share;
  if (sese_set_budget(stream_.get(), automatic ? "auto" : number.str().c_str()) != 0)
    sese_set_budget(stream_.get(), automatic ? "best" : "fastest");
}

}  // namespace sese

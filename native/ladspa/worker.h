// The thread that runs the model, behind two ring buffers, because ONNX Runtime allocates memory.
//
// An audio callback writes to `input`, wakes the thread, and reads from `output`, in which as many samples
// appear. It never waits. Where the thread cannot go on, because the model failed or samples were lost, the
// callback asks for a restart: the thread then empties `input`, forgets the signal and says so.
#pragma once

#include <semaphore.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "ring.h"
#include "sese.h"

namespace sese {

class Worker {
 public:
  // Throws std::runtime_error where the model cannot be opened.
  Worker(const std::string& model, int sample_rate, std::size_t channels, std::size_t capacity);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  std::size_t latency() const { return static_cast<std::size_t>(sese_latency(stream_.get())); }

  // For the callback.
  Ring input, output;
  void wake();
  void set_budget(float share) { budget_.store(share, std::memory_order_relaxed); }  // 0: automatic
  bool failed() const { return failed_.load(std::memory_order_acquire); }
  // After this, write nothing to `input` until `restarted`, and then drop what is left in `output` first.
  void restart() { restart_.store(true, std::memory_order_release), wake(); }
  bool restarted() const { return !restart_.load(std::memory_order_acquire); }

 private:
  struct Close {
    void operator()(sese_stream* stream) const { sese_close(stream); }
  };

  void work();
  void follow_budget();
  bool enhance();

  std::size_t channels_;
  std::unique_ptr<sese_stream, Close> stream_;
  std::vector<float> block_;
  float share_ = 1;
  std::atomic<float> budget_{1};
  std::atomic<bool> stop_{false}, restart_{false}, failed_{false};
  sem_t ready_;
  std::thread thread_;
};

}  // namespace sese

#include "instance.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <thread>

namespace sese {
namespace {

constexpr std::size_t kPiece = 4096;  // samples of a long callback that are handled at a time
constexpr float kFadeSeconds = 0.01F, kSlackMs = 5;
constexpr std::chrono::microseconds kNap{50};

// NaN becomes the lower limit.
float within(float value, float low, float high) { return value >= low ? std::min(value, high) : low; }

std::size_t power_of_two(std::size_t least) {
  std::size_t size = 1;
  while (size < least) size *= 2;
  return size;
}

}  // namespace

Instance::Instance(const std::string& model, int sample_rate, std::size_t channels)
    : channels_(channels),
      rate_(static_cast<std::size_t>(sample_rate)),
      worker_(model, sample_rate, channels, rate_ + kPiece),
      model_latency_(worker_.latency()),
      dry_(channels * power_of_two(rate_ + model_latency_ + kPiece)) {
  activate();
}

void Instance::activate() {
  std::fill(dry_.begin(), dry_.end(), 0.0F);
  position_ = 0;
  underruns_ = 0;
  restart();
  fresh_ = clean_ = true;
}

void Instance::run(const float* const* in, float* const* out, std::size_t count, const Controls& controls) {
  read(controls, count);
  short_ = false;
  for (std::size_t at = 0; at < count; at += kPiece) piece(in, out, at, std::min(kPiece, count - at));
  if (short_) ++underruns_;
}

void Instance::read(const Controls& controls, std::size_t count) {
  worker_.set_budget(within(controls.budget, 0, 1));
  const float limit = within(controls.attenuation_db, 0, kNoLimit);
  const float most = limit < kNoLimit ? 1 - std::pow(10.0F, -limit / 20) : 1.0F;
  wet_ = controls.bypass ? 0.0F : within(controls.mix, 0, 1) * most;
  // The thread gets at least the time from one callback to the next.
  const auto rate = static_cast<float>(rate_), least = static_cast<float>(count) + rate * kSlackMs / 1000;
  const bool too_short = least > static_cast<float>(buffer_) && buffer_ < rate_;
  if (!controls.wait && !fresh_ && too_short) restart(), fresh_ = true;
  wait_ = controls.wait;
  if (!fresh_) return;
  const float samples = std::max(rate * within(controls.buffer_ms, 0, 1000) / 1000, least);
  buffer_ = wait_ ? 0 : static_cast<std::size_t>(std::ceil(std::min(samples, rate)));
  fresh_ = false;
}

void Instance::piece(const float* const* in, float* const* out, std::size_t at, std::size_t count) {
  const bool goes = running(count);
  for (std::size_t channel = 0; channel < channels_; ++channel)
    for (std::size_t i = 0; i < count; ++i) {
      const float sample = std::isfinite(in[channel][at + i]) ? in[channel][at + i] : 0.0F;
      dry(position_ + i, channel) = sample;
      if (goes) worker_.input.place(i, channel) = sample;
    }
  std::size_t first = count, end = count;  // the enhanced samples of the piece
  if (goes) {
    worker_.input.commit(count);
    worker_.wake();
    first = std::min(ahead_, count);
    ahead_ -= first;
    end = first + ready(count - first);
  }
  play(out, at, count, first, end);
  position_ += count;
}

// Returns whether the worker takes `count` samples; sees to its restart where it does not.
bool Instance::running(std::size_t count) {
  if (running_ && (worker_.failed() || worker_.input.room() < count)) restart();
  while (wait_ && !running_ && !worker_.restarted()) std::this_thread::sleep_for(kNap);
  if (!running_ && worker_.restarted()) start();
  if (!running_) clean_ = false;
  return running_;
}

void Instance::restart() {
  worker_.restart();
  running_ = clean_ = false;
}

void Instance::start() {
  worker_.output.drop(worker_.output.waiting());
  ahead_ = buffer_;
  blank_ = clean_ ? 0 : model_latency_;
  late_ = 0;
  gain_ = clean_ ? wet_ : 0;
  running_ = true;
}

// Returns how many of the next `wanted` samples the worker has made; the others are late.
std::size_t Instance::ready(std::size_t wanted) {
  std::size_t made = 0;
  for (;;) {
    const std::size_t dropped = std::min(late_, worker_.output.waiting());
    worker_.output.drop(dropped);
    late_ -= dropped;
    made = late_ > 0 ? 0 : std::min(wanted, worker_.output.waiting());
    if (made == wanted || !wait_ || worker_.failed()) break;
    std::this_thread::sleep_for(kNap);
  }
  late_ += wanted - made;
  return made;
}

// Plays a piece, of which the samples from `first` to `end` are enhanced.
void Instance::play(float* const* out, std::size_t at, std::size_t count, std::size_t first,
                    std::size_t end) {
  const float step = 1 / (kFadeSeconds * static_cast<float>(rate_));
  for (std::size_t i = 0; i < count; ++i) {
    const bool made = i >= first && i < end, enhanced = made && blank_ == 0;
    const bool begins = clean_ && i < first;  // the silence at the start needs no fade
    if (made && blank_ > 0) --blank_;
    if (enhanced)
      gain_ += within(wet_ - gain_, -step, step);
    else if (!begins)
      gain_ = 0;
    short_ = short_ || !(enhanced || begins);
    for (std::size_t channel = 0; channel < channels_; ++channel) {
      const float past = dry(position_ + i - latency(), channel);
      out[channel][at + i] =
          enhanced ? gain_ * worker_.output.sample(i - first, channel) + (1 - gain_) * past : past;
    }
  }
  worker_.output.drop(end - first);
}

float& Instance::dry(std::size_t position, std::size_t channel) {
  return dry_[(position & (dry_.size() / channels_ - 1)) * channels_ + channel];
}

}  // namespace sese

#include "stream.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

namespace sese {
namespace {

constexpr float kLoudest = 1e15F;  // with bands above the model's: float32 holds the powers up to here
constexpr int kLowestRate = 8000, kHighestRate = 192000, kMostChannels = 64;
constexpr std::size_t kAtOnce =
    4096;  // samples of a long block that are taken at a time, to need little memory

int checked_rate(int rate) {
  if (rate < kLowestRate || rate > kHighestRate)
    throw std::invalid_argument("sample_rate is " + std::to_string(rate) + "; give a number of Hz from " +
                                std::to_string(kLowestRate) + " to " + std::to_string(kHighestRate));
  return rate;
}

std::size_t checked_channels(int channels) {
  if (channels < 1 || channels > kMostChannels)
    throw std::invalid_argument("channels is " + std::to_string(channels) + "; give a number from 1 to " +
                                std::to_string(kMostChannels));
  return static_cast<std::size_t>(channels);
}

}  // namespace

Stream::Stream(std::shared_ptr<Model> model, int sample_rate, int channels)
    : facts_(model->facts()),
      channels_(checked_channels(channels)),
      latency_(static_cast<std::size_t>(longest_wait(checked_rate(sample_rate), facts_.sample_rate,
                                                     static_cast<std::int64_t>(facts_.hop_length),
                                                     static_cast<std::int64_t>(facts_.lookahead_samples)))),
      rule_(parse_budget(facts_, "1")),
      ceiling_(static_cast<std::int64_t>(facts_.levels.size()) - 1),
      step_(std::move(model), channels_),
      to_model_(sample_rate, facts_.sample_rate, channels_),
      from_model_(facts_.sample_rate, sample_rate, channels_),
      input_(channels_),
      low_(channels_),
      heard_(channels_),
      enhanced_(channels_),
      output_(channels_) {
  if (sample_rate != facts_.sample_rate)
    above_.assign(channels_, BandAbove(facts_.sample_rate, sample_rate, facts_.hop_length, facts_.lookahead_samples));
  reset();
}

void Stream::reset() {
  step_.reset();
  to_model_.reset();
  from_model_.reset();
  for (BandAbove& above : above_) above.reset();
  for (Fifo* const waiting : {&input_, &low_, &enhanced_}) waiting->restart(0);
  heard_.restart(facts_.lookahead_samples);
  output_.restart(latency_);
  early_ = facts_.lookahead_samples;
  used_ = 0;
  frames_ = 0;
}

void Stream::process(const float* in, float* out, std::size_t count) {
  const float* const bad =
      std::find_if(in, in + count * channels_, [](float x) { return !std::isfinite(x); });
  if (bad != in + count * channels_)
    throw std::invalid_argument("sample " + std::to_string(static_cast<std::size_t>(bad - in) / channels_) +
                                " of the block is NaN or infinity");
  const auto loud = [](float x) { return std::abs(x) > kLoudest; };
  if (!above_.empty() && std::any_of(in, in + count * channels_, loud))
    throw std::invalid_argument("the block has samples above 1e15; scale the audio to [-1, 1]");
  while (count > 0) {
    const std::size_t taken = std::min(count, kAtOnce);
    input_.extend(taken);
    for (std::size_t channel = 0; channel < channels_; ++channel)
      for (std::size_t i = 0; i < taken; ++i) input_.at(channel)[i] = in[i * channels_ + channel];
    enhance();
    for (std::size_t channel = 0; channel < channels_; ++channel)
      for (std::size_t i = 0; i < taken; ++i) out[i * channels_ + channel] = output_.at(channel)[i];
    output_.drop(taken);
    in += taken * channels_;
    out += taken * channels_;
    count -= taken;
  }
}

// Brings the input as far as it goes.
void Stream::enhance() {
  for (std::size_t channel = 0; channel < above_.size(); ++channel)
    above_[channel].feed(input_.at(channel), input_.size());
  to_model_.feed(input_, low_);
  while (low_.size() >= facts_.hop_length) frame();
  const std::size_t before = output_.size();
  from_model_.feed(enhanced_, output_);
  for (std::size_t channel = 0; channel < above_.size(); ++channel)
    above_[channel].read(output_.at(channel) + before, output_.size() - before);
}

// Sends a frame through the model, and adds it to `enhanced_`, less what is added to the output in its stead.
void Stream::frame() {
  const std::size_t hop = facts_.hop_length, skipped = std::min(early_, hop);
  std::vector<const float*> lines, enhanced;
  for (std::size_t channel = 0; channel < channels_; ++channel) {
    std::copy_n(low_.at(channel), hop, step_.audio(channel));
    lines.push_back(low_.at(channel));
    enhanced.push_back(step_.enhanced(channel) + skipped);
  }
  heard_.append(lines, hop);
  low_.drop(hop);
  used_ += step_.run(rule_, ceiling_);
  ++frames_;
  for (std::size_t channel = 0; channel < above_.size(); ++channel)
    above_[channel].add(step_.enhanced(channel), heard_.at(channel));
  enhanced_.append(enhanced, hop - skipped);
  early_ -= skipped;
  heard_.drop(hop);
}

}  // namespace sese

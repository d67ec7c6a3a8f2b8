#include "resampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kaiser.h"
#include "product.h"

namespace sese {
namespace {

constexpr double kAttenuationDb = 70;

std::int64_t reach(int source_hz, int target_hz) {
  return source_hz == target_hz ? 0 : static_cast<std::int64_t>(std::ceil(kReachSeconds * source_hz));
}

// The taps for every position of an output sample between two input samples: a sinc in a Kaiser window. The
// taps of phase p lie at 1 - reach ... reach, the output sample at p / up.
std::vector<float> kernels(std::int64_t up, std::int64_t down, std::int64_t reach) {
  const double highest = std::min(1.0, static_cast<double>(up) / static_cast<double>(down));
  const double width = (kAttenuationDb - 7.95) / (2.285 * kPi * static_cast<double>(2 * reach));
  const double cut = highest - width / 2;
  std::vector<float> made;
  made.reserve(static_cast<std::size_t>(up * 2 * reach));
  std::vector<double> taps(static_cast<std::size_t>(2 * reach));
  for (std::int64_t phase = 0; phase < up; ++phase) {
    double sum = 0;
    for (std::size_t i = 0; i < taps.size(); ++i) {
      const double at = static_cast<double>(1 - reach + static_cast<std::int64_t>(i)) -
                        static_cast<double>(phase) / static_cast<double>(up);
      sum += taps[i] = sinc(cut * at) * kaiser(at / static_cast<double>(reach), kAttenuationDb);
    }
    for (const double tap : taps) made.push_back(static_cast<float>(tap / sum));
  }
  return made;
}

}  // namespace

Resampler::Resampler(int source_hz, int target_hz, std::size_t channels)
    : up_(target_hz / std::gcd(source_hz, target_hz)),
      down_(source_hz / std::gcd(source_hz, target_hz)),
      reach_(reach(source_hz, target_hz)),
      heard_(channels) {
  if (up_ != down_) kernels_ = kernels(up_, down_, reach_);
  reset();
}

void Resampler::reset() {
  begin_ = 1 - reach_;
  fed_ = returned_ = 0;
  heard_.restart(static_cast<std::size_t>(std::max<std::int64_t>(reach_ - 1, 0)));
}

void Resampler::feed(Fifo& from, Fifo& to) {
  std::vector<const float*> lines;
  for (std::size_t channel = 0; channel < from.channels(); ++channel) lines.push_back(from.at(channel));
  Fifo& target = up_ == down_ ? to : heard_;
  target.append(lines, from.size());
  fed_ += static_cast<std::int64_t>(from.size());
  from.drop(from.size());
  if (up_ == down_) return;
  const std::int64_t ready = (std::max<std::int64_t>(fed_ - reach_, 0) * up_ + down_ - 1) / down_;
  const std::size_t taps = static_cast<std::size_t>(2 * reach_), before = to.size();
  to.extend(static_cast<std::size_t>(ready - returned_));
  for (std::size_t channel = 0; channel < to.channels(); ++channel) {
    const float* heard = heard_.at(channel);
    float* out = to.at(channel) + before;
    for (std::int64_t k = returned_; k < ready; ++k) {
      const std::int64_t sample = k * down_ / up_, phase = k * down_ % up_;
      const float* kernel = kernels_.data() + static_cast<std::size_t>(phase) * taps;
      *out++ = dot(heard + (sample + 1 - reach_ - begin_), kernel, taps);
    }
  }
  returned_ = ready;
  const std::int64_t keep = returned_ * down_ / up_ + 1 - reach_;  // beginning of the next window
  const auto waiting = static_cast<std::int64_t>(heard_.size());
  const std::int64_t drop = std::clamp<std::int64_t>(keep - begin_, 0, waiting);
  heard_.drop(static_cast<std::size_t>(drop));
  begin_ += drop;
}

std::int64_t ready_samples(std::int64_t fed, int source_hz, int target_hz) {
  const std::int64_t common = std::gcd(source_hz, target_hz), down = source_hz / common;
  const std::int64_t behind = std::max<std::int64_t>(fed - reach(source_hz, target_hz), 0);
  return (behind * (target_hz / common) + down - 1) / down;
}

std::int64_t longest_wait(int rate_hz, int model_hz, std::int64_t hop, std::int64_t lookahead) {
  if (rate_hz == model_hz) return hop + lookahead;
  // The pattern of hops and samples repeats after this many samples; the first round only fills up.
  const std::int64_t period = hop * rate_hz / std::gcd(hop * rate_hz, static_cast<std::int64_t>(model_hz));
  const std::int64_t end = rate_hz * (lookahead + hop) / model_hz + rate_hz / 50 + 2 * period;
  std::int64_t longest = 0;
  for (std::int64_t fed = 0; fed < end; ++fed) {
    const std::int64_t entered = ready_samples(fed, rate_hz, model_hz);
    const std::int64_t enhanced = std::max<std::int64_t>(entered / hop * hop - lookahead, 0);
    longest = std::max(longest, fed + 1 - ready_samples(enhanced, model_hz, rate_hz));
  }
  return longest;
}

}  // namespace sese

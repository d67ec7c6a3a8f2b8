#include "band_above.h"

#include <algorithm>
#include <cmath>

namespace sese {
namespace {

constexpr double kBandLow = 0.5, kBandHigh = 0.85;  // shares of the band that signal and model have in common
constexpr double kRiseSeconds = 0.004, kFallSeconds = 0.03;
constexpr double kSilent = 1e-10;  // mean square below which a frame is not measured
constexpr double kPi = 3.14159265358979323846;

}  // namespace

BandAbove::BandAbove(int model_hz, int rate_hz, std::size_t hop, std::size_t lookahead)
    : ratio_(static_cast<double>(model_hz) / rate_hz),
      hop_(static_cast<double>(hop)),
      lookahead_(static_cast<double>(lookahead)),
      silent_(0),
      rise_(std::exp(-hop_ / model_hz / kRiseSeconds)),
      fall_(std::exp(-hop_ / model_hz / kFallSeconds)),
      length_(hop) {
  const double width = hop_ * std::min(model_hz, rate_hz) / 2 / model_hz;  // of the common band, in bins
  const double low = std::max(1.0, std::nearbyint(kBandLow * width));
  const double high = std::max({1.0, low, std::nearbyint(kBandHigh * width)});
  bins_ = static_cast<std::size_t>(high - low) + 1;
  real_.resize(bins_), imaginary_.resize(bins_);
  for (std::size_t sample = 0; sample < hop; ++sample) {
    const double window = 0.5 - 0.5 * std::cos(2 * kPi * (static_cast<double>(sample) + 1) / (hop_ + 1));
    window_.push_back(static_cast<float>(window));
    silent_ += kSilent * window * window * static_cast<double>(bins_);
  }
  for (std::size_t sample = 0; sample <= hop / 2; ++sample)
    for (std::size_t bin = 0; bin < bins_; ++bin) {
      const double turns = static_cast<double>(sample) * (low + static_cast<double>(bin)) / hop_;
      cosine_.push_back(std::cos(2 * kPi * std::fmod(turns, 1.0)));
      sine_.push_back(std::sin(2 * kPi * std::fmod(turns, 1.0)));
    }
  reset();
}

void BandAbove::reset() {
  frames_ = given_ = 0;
  last_ = -1;  // none yet
  points_.clear();
}

void BandAbove::add(const std::vector<const float*>& enhanced, const std::vector<const float*>& heard) {
  const double left = energy(enhanced), had = energy(heard);
  const bool silent = had <= silent_ * static_cast<double>(heard.size());
  const double share = silent ? 1.0 : std::sqrt(std::min(left / had, 1.0));
  const double end = static_cast<double>(++frames_) * hop_ - lookahead_;
  if (end <= 0) return;
  if (last_ < 0) {  // the signal's first frame has nothing to be smoothed with
    last_ = share;
    points_.push_back({end - hop_, last_});
  }
  const double keep = share > last_ ? rise_ : fall_;
  if (!silent) last_ = keep * last_ + (1 - keep) * share;
  points_.push_back({end, last_});
}

void BandAbove::read(float* gains, std::size_t count) {
  if (points_.empty()) {
    std::fill_n(gains, count, 1.0F);
    given_ += static_cast<long long>(count);
    return;
  }
  for (std::size_t i = 0; i < count; ++i, ++given_) {
    const double at = static_cast<double>(given_) * ratio_;
    while (points_.size() > 1 && points_[1].at <= at) points_.pop_front();
    const Point& from = points_.front();
    const Point& to = points_.size() > 1 ? points_[1] : from;
    const bool between = at > from.at && to.at > from.at;
    const double gain =
        between ? from.gain + (to.gain - from.gain) * (at - from.at) / (to.at - from.at) : from.gain;
    gains[i] = static_cast<float>(gain);
  }
}

// The energy of the measured band of all channels. Samples that lie opposite each other share their cosine
// and, but for its sign, their sine. In float the loud band below would leave too little of a quiet one.
double BandAbove::energy(const std::vector<const float*>& frames) {
  double sum = 0;
  for (const float* const frame : frames) {
    std::fill(real_.begin(), real_.end(), 0.0);
    std::fill(imaginary_.begin(), imaginary_.end(), 0.0);
    for (std::size_t sample = 0; sample <= length_ / 2; ++sample) {
      const std::size_t opposite = (length_ - sample) % length_;
      const double one = static_cast<double>(frame[sample]) * window_[sample];
      const double other =
          opposite == sample ? 0.0 : static_cast<double>(frame[opposite]) * window_[opposite];
      const double even = one + other, odd = one - other;
      const double *cosine = cosine_.data() + sample * bins_, *sine = sine_.data() + sample * bins_;
      double *real = real_.data(), *imaginary = imaginary_.data();
      for (std::size_t bin = 0; bin < bins_; ++bin) {
        real[bin] += even * cosine[bin];
        imaginary[bin] += odd * sine[bin];
      }
    }
    for (std::size_t bin = 0; bin < bins_; ++bin)
      sum += real_[bin] * real_[bin] + imaginary_[bin] * imaginary_[bin];
  }
  return sum;
}

}  // namespace sese

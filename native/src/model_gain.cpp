#include "model_gain.h"

#include <algorithm>
#include <cmath>

#include "kaiser.h"

namespace sese {
namespace {

constexpr double kBandLow = 0.5, kBandHigh = 0.85;  // shares of the band that signal and model have in common
constexpr double kSmoothingSeconds = 0.003;
constexpr double kSilent = 1e-10;  // mean square below which a part is not measured

}  // namespace

ModelGain::ModelGain(int model_hz, int rate_hz, std::size_t part, std::size_t lookahead)
    : part_(part),
      skipped_(lookahead / part),
      keep_(std::exp(-static_cast<double>(part) / model_hz / kSmoothingSeconds)) {
  const auto length = static_cast<double>(part);
  const double width = length * std::min(model_hz, rate_hz) / 2 / model_hz;  // of the common band, in bins
  const double low = std::max(1.0, std::nearbyint(kBandLow * width));
  const double high = std::max({1.0, low, std::nearbyint(kBandHigh * width)});
  bins_ = static_cast<std::size_t>(high - low) + 1;
  real_.resize(bins_), imaginary_.resize(bins_);
  for (std::size_t sample = 0; sample < part; ++sample) {
    const auto time = static_cast<double>(sample);
    const double window = 0.5 - 0.5 * std::cos(2 * kPi * (time + 1) / (length + 1));
    silent_ += kSilent * window * window * static_cast<double>(bins_);
    for (std::size_t bin = 0; bin < bins_; ++bin) {
      const double turns = std::fmod(time * (low + static_cast<double>(bin)), length) / length;
      cosine_.push_back(window * std::cos(2 * kPi * turns));
      sine_.push_back(window * std::sin(2 * kPi * turns));
    }
  }
}

void ModelGain::reset() {
  parts_ = 0;
  last_ = -1;
}

void ModelGain::add(const std::vector<const float*>& enhanced, const std::vector<const float*>& heard,
                    std::size_t count, std::vector<float>& gains) {
  for (std::size_t i = 0; i < count; ++i, ++parts_) {
    if (parts_ < skipped_) continue;
    const double left = energy(enhanced, i * part_), had = energy(heard, i * part_);
    const bool silent = had <= silent_ * static_cast<double>(heard.size());
    const double share = silent ? 1.0 : std::sqrt(std::min(left / had, 1.0));
    if (last_ < 0) {
      last_ = share;
      gains.push_back(static_cast<float>(last_));
    }
    if (!silent) last_ = keep_ * last_ + (1 - keep_) * share;
    gains.push_back(static_cast<float>(last_));
  }
}

// The energy of the measured band of all channels. In float, the loud band below would leave little of a
// quiet one.
double ModelGain::energy(const std::vector<const float*>& audio, std::size_t begin) {
  double sum = 0;
  for (const float* const samples : audio) {
    std::fill(real_.begin(), real_.end(), 0.0);
    std::fill(imaginary_.begin(), imaginary_.end(), 0.0);
    for (std::size_t sample = 0; sample < part_; ++sample) {
      const double value = samples[begin + sample];
      const double *cosine = cosine_.data() + sample * bins_, *sine = sine_.data() + sample * bins_;
      double *real = real_.data(), *imaginary = imaginary_.data();
      for (std::size_t bin = 0; bin < bins_; ++bin) {
        real[bin] += value * cosine[bin];
        imaginary[bin] += value * sine[bin];
      }
    }
    for (std::size_t bin = 0; bin < bins_; ++bin)
      sum += real_[bin] * real_[bin] + imaginary_[bin] * imaginary_[bin];
  }
  return sum;
}

}  // namespace sese

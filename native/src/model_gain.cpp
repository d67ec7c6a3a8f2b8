#include "model_gain.h"

#include <algorithm>
#include <cmath>

#include "kaiser.h"

namespace sese {
namespace {

// Limits of the bands, as shares of the band that signal and model have in common.
constexpr std::array<double, kBelow + 1> kEdges = {0.04, 0.1, 0.18, 0.3, 0.5, 0.67, 0.85};
constexpr double kSmoothingSeconds = 0.003;
constexpr double kSilent = 1e-10;  // mean square below which the upper part is not measured

}  // namespace

ModelGain::ModelGain(int model_hz, int rate_hz, std::size_t part, std::size_t lookahead)
    : part_(part),
      skipped_(lookahead / part),
      keep_(std::exp(-static_cast<double>(part) / model_hz / kSmoothingSeconds)) {
  const auto length = static_cast<double>(part);
  const double width = length * std::min(model_hz, rate_hz) / 2 / model_hz;  // of the common band, in bins
  for (std::size_t band = 0; band <= kBelow; ++band)
    limits_[band] = static_cast<std::size_t>(std::max(1.0, std::nearbyint(kEdges[band] * width)));
  const auto low = static_cast<double>(limits_[0]);
  ++limits_[kBelow];  // the last band holds its upper limit
  bins_ = limits_[kBelow] - limits_[0];
  real_.resize(bins_), imaginary_.resize(bins_);
  for (std::size_t sample = 0; sample < part; ++sample) {
    const auto time = static_cast<double>(sample);
    const double window = 0.5 - 0.5 * std::cos(2 * kPi * (time + 1) / (length + 1));
    energy_ += window * window;
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

void ModelGain::add(const float* enhanced, const float* heard, std::size_t count,
                    std::vector<Measured>& measured) {
  for (std::size_t i = 0; i < count; ++i, ++parts_) {
    if (parts_ < skipped_) continue;
    const Powers output = power(enhanced + i * part_), input = power(heard + i * part_);
    double left = 0, had = 0;
    for (std::size_t band = kUpper; band < kBelow; ++band) {
      const auto bins = static_cast<double>(limits_[band + 1] - limits_[band]);
      const double share = bins / static_cast<double>(limits_[kBelow] - limits_[kUpper]);
      left += share * output[band];
      had += share * input[band];
    }
    const bool silent = had <= kSilent;
    const double share = silent ? 1.0 : std::sqrt(std::min(left / had, 1.0));
    Measured point{};
    std::copy(input.begin(), input.end(), point.heard.begin());
    std::copy(output.begin(), output.end(), point.left.begin());
    if (last_ < 0) {
      last_ = share;
      point.gain = static_cast<float>(last_);
      measured.push_back(point);
    }
    if (!silent) last_ = keep_ * last_ + (1 - keep_) * share;
    point.gain = static_cast<float>(last_);
    measured.push_back(point);
  }
}

// The mean power in each band. In float, the loud band below would leave little of a quiet one.
ModelGain::Powers ModelGain::power(const float* samples) {
  Powers powers{};
  std::fill(real_.begin(), real_.end(), 0.0);
  std::fill(imaginary_.begin(), imaginary_.end(), 0.0);
  for (std::size_t sample = 0; sample < part_; ++sample) {
    const double value = samples[sample];
    const double *cosine = cosine_.data() + sample * bins_, *sine = sine_.data() + sample * bins_;
    double *real = real_.data(), *imaginary = imaginary_.data();
    for (std::size_t bin = 0; bin < bins_; ++bin) {
      real[bin] += value * cosine[bin];
      imaginary[bin] += value * sine[bin];
    }
  }
  for (std::size_t band = 0; band < kBelow; ++band) {
    const std::size_t first = limits_[band] - limits_[0], end = limits_[band + 1] - limits_[0];
    double sum = 0;
    for (std::size_t bin = first; bin < end; ++bin)
      sum += real_[bin] * real_[bin] + imaginary_[bin] * imaginary_[bin];
    powers[band] = sum / static_cast<double>(std::max<std::size_t>(end - first, 1)) / energy_;
  }
  return powers;
}

}  // namespace sese

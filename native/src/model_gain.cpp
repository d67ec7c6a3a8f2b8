#include "model_gain.h"

#include <algorithm>
#include <cmath>

#include "kaiser.h"

namespace sese {
namespace {

// Limits of the bands, as shares of the band that signal and model have in common.
constexpr std::array<double, kBelow + 1> kEdges = {0.04, 0.1, 0.18, 0.3, 0.5, 0.67, 0.85};
constexpr double kSmoothingSeconds = 0.003;  // in parts of less than twice as long
constexpr float kSilent = 1e-10F;            // mean square below which the upper part is not measured

std::array<std::size_t, kBelow + 1> limits(double width) {
  std::array<std::size_t, kBelow + 1> bins{};
  for (std::size_t band = 0; band <= kBelow; ++band)
    bins[band] = static_cast<std::size_t>(std::max(1.0, std::nearbyint(kEdges[band] * width)));
  ++bins[kBelow];  // the last band holds its upper limit
  return bins;
}

}  // namespace

ModelGain::ModelGain(int model_hz, int rate_hz, std::size_t part)
    : limits_(limits(static_cast<double>(part) * std::min(model_hz, rate_hz) / 2 / model_hz)),
      window_(part),
      samples_(part * (1 + part % 2)),
      step_(samples_.size() / part),
      transform_(samples_.size()),
      spectrum_(transform_.bins()) {
  const double times = static_cast<double>(part) / model_hz / kSmoothingSeconds;
  if (times < 2) keep_ = static_cast<float>(std::exp(-times));
  for (std::size_t i = 0; i < part; ++i) {
    const double place = static_cast<double>(i + 1) / static_cast<double>(part + 1);
    window_[i] = static_cast<float>(0.5 - 0.5 * std::cos(2 * kPi * place));
    energy_ += window_[i] * window_[i];
  }
}

Measured ModelGain::operator()(const float* enhanced, const float* heard) {
  Measured measured{};
  measured.left = power(enhanced), measured.heard = power(heard);
  float left = 0, had = 0;
  for (std::size_t band = kUpper; band < kBelow; ++band) {
    const auto bins = static_cast<float>(limits_[band + 1] - limits_[band]);
    const float share = bins / static_cast<float>(limits_[kBelow] - limits_[kUpper]);
    left += share * measured.left[band];
    had += share * measured.heard[band];
  }
  const bool silent = had <= kSilent;
  const float gain = silent ? 1.0F : std::sqrt(std::min(left / had, 1.0F));
  if (last_ < 0) last_ = gain;
  measured.before = last_;
  if (!silent) last_ = keep_ * last_ + (1 - keep_) * gain;
  measured.gain = last_;
  return measured;
}

// The mean power in each band.
std::array<float, kBelow> ModelGain::power(const float* samples) {
  std::array<float, kBelow> powers{};
  for (std::size_t i = 0; i < window_.size(); ++i) samples_[i] = window_[i] * samples[i];
  transform_.forward(samples_.data(), spectrum_);
  for (std::size_t band = 0; band < kBelow; ++band) {
    float energy = 0;
    for (std::size_t bin = limits_[band]; bin < limits_[band + 1]; ++bin) {
      const float real = spectrum_.real[bin * step_], imaginary = spectrum_.imaginary[bin * step_];
      energy += real * real + imaginary * imaginary;
    }
    const std::size_t bins = std::max<std::size_t>(limits_[band + 1] - limits_[band], 1);
    powers[band] = energy / (energy_ * static_cast<float>(bins));
  }
  return powers;
}

}  // namespace sese

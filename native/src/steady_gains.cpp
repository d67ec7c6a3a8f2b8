#include "steady_gains.h"

#include <algorithm>

namespace sese {
namespace {

constexpr double kSeconds = 2.0;  // in which the model's lowest gain is looked for
constexpr float kFactor = 1;      // power over the noise from which on a band is more than noise
constexpr double kWindowSeconds = 0.016;
constexpr float kLeast = 0.003F;  // lowest gain
constexpr float kSilent = 1e-12F;

}  // namespace

SteadyGains::SteadyGains(double seconds, double window)
    : smooth_(seconds, (kWindowSeconds - window) / 2), noise_floor_(seconds), lowest_(kSeconds / seconds) {}

void SteadyGains::reset() {
  smooth_.reset();
  noise_floor_.reset();
  lowest_.reset();
}

const Values& SteadyGains::operator()(const Values& power, float gain) {
  power_ = power;
  smooth_(power_);
  noise_ = power_;
  noise_floor_(noise_);
  quiet_.assign(1, gain);
  lowest_(quiet_);
  const float quiet = std::max(quiet_[0], std::min(gain, kLeast));
  for (std::size_t band = 0; band < power_.size(); ++band) {
    const float more = std::max(power_[band] / (noise_[band] + kSilent) - kFactor, 0.0F);
    power_[band] = quiet + more / (1 + more) * (gain - quiet);
  }
  return power_;
}

}  // namespace sese

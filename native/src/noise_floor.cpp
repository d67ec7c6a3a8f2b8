#include "noise_floor.h"

#include <algorithm>
#include <cmath>

namespace sese {
namespace {

constexpr double kSmoothingSeconds = 0.025;
constexpr double kWarmSeconds = 0.06;  // in which the smoothed power itself is taken for noise
constexpr double kSeconds = 1.2;
constexpr float kBias = 1.6F;  // mean power of noise over its lowest smoothed power
constexpr std::size_t kParts = 8;

void lower(Values& values, const Values& others) {
  for (std::size_t i = 0; i < others.size(); ++i) values[i] = std::min(values[i], others[i]);
}

}  // namespace

Smooth::Smooth(double seconds, double time_constant)
    : keep_(time_constant > 0 ? std::exp(-seconds / time_constant) : 0.0) {}

void Smooth::operator()(Values& values) {
  if (last_.empty()) last_ = values;  // the first of all begins at itself
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(keep_ * last_[i] + (1 - keep_) * values[i]);
  last_ = values;
}

Lowest::Lowest(double count)
    : length_(static_cast<std::size_t>(std::max(1.0, std::nearbyint(count / kParts)))) {}

void Lowest::reset() {
  number_ = 0;
  parts_.clear(), past_.clear(), part_.clear();
}

void Lowest::operator()(Values& values) {
  if (number_ == length_) {
    parts_.push_back(part_);
    if (parts_.size() > kParts) parts_.pop_front();
    past_ = parts_.front();
    for (const Values& part : parts_) lower(past_, part);
    number_ = 0;
    part_.clear();
  }
  lower(values, part_);
  part_ = values;
  ++number_;
  lower(values, past_);
}

NoiseFloor::NoiseFloor(double seconds)
    : smooth_(seconds, kSmoothingSeconds),
      lowest_(kSeconds / seconds),
      warm_(static_cast<std::size_t>(std::nearbyint(kWarmSeconds / seconds))),
      cold_(warm_) {}

void NoiseFloor::reset() {
  smooth_.reset();
  lowest_.reset();
  cold_ = warm_;
}

void NoiseFloor::operator()(Values& power) {
  smooth_(power);
  if (cold_ > 0)
    --cold_;
  else
    lowest_(power);
  for (float& value : power) value *= kBias;
}

}  // namespace sese

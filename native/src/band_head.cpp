#include "band_head.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>

#include <nlohmann/json.hpp>

namespace sese {
namespace {

constexpr std::size_t kBands = 10;  // above, at 48 kHz and more
constexpr std::size_t kFloor = 2 * kBelow + kBands;  // place of the first excess over steady noise
constexpr std::size_t kWidth = kFloor + kBands;
constexpr double kReferenceSeconds = 1;      // time constant of the running mean
constexpr double kSmoothingSeconds = 0.025;  // of the power that a floor is the lowest of
constexpr double kRise = 1;                  // of a floor in powers of ten per second
constexpr float kBias = 1.6F;                // mean power of steady noise over its floor
constexpr float kSilent = 1e-13F;            // mean power that is added to all powers
constexpr float kLoudest = 1e20F;            // highest floor: silence counts as this much
constexpr float kLowest = -6, kHighest = 3, kLowestGain = -3, kLowestExcess = -2;
constexpr float kPassing = 50;

float log_power(float power) { return std::log10(power + kSilent); }

float sigmoid(float x) { return 1 / (1 + std::exp(-x)); }

// Adds the products of a matrix [value, output] to sums.
void multiply(const Values& matrix, const Values& values, Values& sums) {
  const float* row = matrix.data();
  for (const float value : values) {
    for (float& sum : sums) sum += value * *row++;
  }
}

}  // namespace

struct BandHead::Weights {
  Weights() {
    std::uint64_t size = 0;
    for (std::size_t byte = 8; byte-- > 0;) size = size << 8 | kBandHead[byte];
    const char* const text = reinterpret_cast<const char*>(kBandHead) + 8;
    facts = nlohmann::json::parse(text, text + size);
    data = kBandHead + 8 + size;
    of_input = turned("gru.weight_ih_l0");
    of_state = turned("gru.weight_hh_l0");
    of_gain = turned("gain.weight");
    input_bias = array("gru.bias_ih_l0");
    state_bias = array("gru.bias_hh_l0");
    gain_bias = array("gain.bias");
    units = state_bias.size() / 3;
  }

  Values array(const std::string& name) const {
    const auto place = facts.at(name).at("data_offsets").get<std::vector<std::size_t>>();
    Values values((place[1] - place[0]) / sizeof(float));
    std::memcpy(values.data(), data + place[0], place[1] - place[0]);
    return values;
  }

  // A matrix [value, output] of one [output, value].
  Values turned(const std::string& name) const {
    const auto shape = facts.at(name).at("shape").get<std::vector<std::size_t>>();
    const Values stored = array(name);
    Values values(stored.size());
    for (std::size_t row = 0; row < shape[0]; ++row)
      for (std::size_t column = 0; column < shape[1]; ++column)
        values[column * shape[0] + row] = stored[row * shape[1] + column];
    return values;
  }

  nlohmann::json facts;
  const unsigned char* data;
  Values of_input, of_state, of_gain, input_bias, state_bias, gain_bias;
  std::size_t units;
};

const BandHead::Weights& BandHead::weights() {
  static const Weights weights;
  return weights;
}

BandHead::BandHead(double seconds)
    : keep_(static_cast<float>(std::exp(-seconds / kReferenceSeconds))),
      smooth_(static_cast<float>(std::exp(-seconds / kSmoothingSeconds))),
      rise_(static_cast<float>(std::pow(10.0, kRise * seconds))),
      heard_(kWidth) {
  reset();
}

void BandHead::reset() {
  mean_ = -1;
  levels_.clear();
  floors_.assign(kBands, kLoudest);
  state_.assign(weights().units, 0.0F);
}

// Computes what the network hears at a point, and returns the lowest of the model's gains there, as a power of
// ten.
float BandHead::hear(const Values& above, const Measured& measured) {
  float below = 0, high = 0, lowest = 0;
  for (const float power : measured.heard) below += power / kBelow;
  for (const float power : above) high += power / static_cast<float>(above.size());
  const float total = below + high;
  mean_ = mean_ < 0 ? total : keep_ * mean_ + (1 - keep_) * total;
  const float reference = log_power(mean_);
  std::fill(heard_.begin(), heard_.begin() + kFloor, kLowest);
  std::fill(heard_.begin() + kFloor, heard_.end(), kLowestExcess);
  for (std::size_t band = 0; band < kBelow; ++band) {
    const float had = log_power(measured.heard[band]);
    const float gain = std::clamp((log_power(measured.left[band]) - had) / 2, kLowestGain, 0.0F);
    heard_[band] = std::clamp(had - reference, kLowest, kHighest);
    heard_[kBelow + band] = gain;
    lowest = std::min(lowest, gain);
  }
  if (levels_.empty()) levels_ = above;
  for (std::size_t band = 0; band < std::min(above.size(), kBands); ++band) {
    const float power = log_power(above[band]);
    heard_[2 * kBelow + band] = std::clamp(power - reference, kLowest, kHighest);
    const float over = (above[band] + kSilent) / steady_noise(above[band], band);
    const float excess = std::max(over - 1, std::pow(10.0F, kLowestExcess));
    heard_[kFloor + band] = std::clamp(std::log10(excess), kLowestExcess, kHighest);
  }
  return lowest;
}

// Takes the next power of a band, and returns the power of its steady noise.
float BandHead::steady_noise(float power, std::size_t band) {
  levels_[band] = smooth_ * levels_[band] + (1 - smooth_) * power;
  const float heard = power > kSilent ? levels_[band] + kSilent : kLoudest;
  floors_[band] = std::min(floors_[band] * rise_, heard);
  return kBias * floors_[band];
}

const Values& BandHead::operator()(const Values& above, const Measured& measured) {
  const Weights& known = weights();
  const float lowest = hear(above, measured);
  input_ = known.input_bias;
  multiply(known.of_input, heard_, input_);
  before_ = known.state_bias;
  multiply(known.of_state, state_, before_);
  const std::size_t units = known.units;
  for (std::size_t unit = 0; unit < units; ++unit) {
    const float reset = sigmoid(input_[unit] + before_[unit]);
    const float kept = sigmoid(input_[units + unit] + before_[units + unit]);
    const float fresh = std::tanh(input_[2 * units + unit] + reset * before_[2 * units + unit]);
    state_[unit] = fresh + kept * (state_[unit] - fresh);
  }
  gains_ = known.gain_bias;
  output_.assign(state_.begin(), state_.end());  // the layer hears what bands exceed steady noise by as well
  output_.insert(output_.end(), heard_.begin() + kFloor, heard_.end());
  multiply(known.of_gain, output_, gains_);
  gains_.resize(above.size());
  const float removed = std::min(-kPassing * lowest, 1.0F);
  float upper = 0;
  for (std::size_t band = kUpper; band < kBelow; ++band) upper += heard_[kBelow + band] / (kBelow - kUpper);
  const float followed = std::pow(10.0F, upper);
  for (float& gain : gains_) gain = (1 - sigmoid(-gain) * removed) * followed;
  return gains_;
}

}  // namespace sese

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
constexpr float kLeastExcess = 0.01F;  // 10 to the power of the last
constexpr float kPassing = 50;
constexpr float kLog10 = 2.302585092994F;  // natural logarithm of 10

float log10(float x) { return std::log(x) / kLog10; }  // quicker than the library's

// e to the power of x, to 1e-7 of it. Compilers turn a loop of it into vector instructions. Cephes, expf.
inline float exp(float x) {
  constexpr float kRound = 12582912;  // a sum with it is a whole number
  const float whole = x * 1.44269504F + kRound - kRound;
  const float rest = x - whole * 0.693359375F + whole * 2.12194440e-4F;
  float sum = 1.9875691500e-4F * rest + 1.3981999507e-3F;
  sum = (sum * rest + 8.3334519073e-3F) * rest + 4.1665795894e-2F;
  sum = (sum * rest + 1.6666665459e-1F) * rest + 5.0000001201e-1F;
  const std::int32_t power = std::clamp(static_cast<std::int32_t>(whole), -126, 127);
  const std::int32_t bits = (power + 127) * (1 << 23);
  float scale = 0;
  std::memcpy(&scale, &bits, sizeof scale);
  return (sum * rest * rest + rest + 1) * scale;
}

inline float sigmoid(float x) { return 1 / (1 + exp(-x)); }

inline float tanh(float x) { return 2 * sigmoid(2 * x) - 1; }

}  // namespace

// What the network hears at a point lies in one array: its values, of which the last are what each band
// exceeds steady noise by; 1, for the biases; the state.
struct BandHead::Weights {
  Weights()
      : units(read("gru.bias_hh_l0").size() / 3),
        of_values(kWidth + 1, 3 * units),
        of_state(1 + units, 3 * units),
        of_gain(kBands + 1 + units, kBands) {
    const Values values = read("gru.weight_ih_l0"), value_bias = read("gru.bias_ih_l0");
    const Values state = read("gru.weight_hh_l0"), state_bias = read("gru.bias_hh_l0");
    for (std::size_t output = 0; output < 3 * units; ++output) {
      for (std::size_t i = 0; i < kWidth; ++i) of_values.weight(i, output) = values[output * kWidth + i];
      for (std::size_t i = 0; i < units; ++i) of_state.weight(1 + i, output) = state[output * units + i];
      of_values.weight(kWidth, output) = value_bias[output];
      of_state.weight(0, output) = state_bias[output];
    }
    const Values gain = read("gain.weight"), gain_bias = read("gain.bias");
    for (std::size_t output = 0; output < kBands; ++output) {
      const float* const row = gain.data() + output * (units + kBands);
      for (std::size_t i = 0; i < kBands; ++i) of_gain.weight(i, output) = row[units + i];
      for (std::size_t i = 0; i < units; ++i) of_gain.weight(kBands + 1 + i, output) = row[i];
      of_gain.weight(kBands, output) = gain_bias[output];
    }
  }

  static Values read(const std::string& name) {
    std::uint64_t size = 0;
    for (std::size_t byte = 8; byte-- > 0;) size = size << 8 | kBandHead[byte];
    const unsigned char* const data = kBandHead + 8 + size;
    const auto facts = nlohmann::json::parse(kBandHead + 8, data);
    const auto place = facts.at(name).at("data_offsets").get<std::vector<std::size_t>>();
    Values values((place[1] - place[0]) / sizeof(float));
    std::memcpy(values.data(), data + place[0], place[1] - place[0]);
    return values;
  }

  std::size_t units;
  Product of_values, of_state, of_gain;
};

const BandHead::Weights& BandHead::weights() {
  static const Weights weights;
  return weights;
}

BandHead::BandHead(double seconds)
    : keep_(static_cast<float>(std::exp(-seconds / kReferenceSeconds))),
      smooth_(static_cast<float>(std::exp(-seconds / kSmoothingSeconds))),
      rise_(static_cast<float>(std::pow(10.0, kRise * seconds))) {
  reset();
}

void BandHead::reset() {
  mean_ = -1;
  levels_.clear();
  floors_.assign(kBands, kLoudest);
  heard_.assign(kWidth + 1 + weights().units, 0.0F);
  heard_[kWidth] = 1;
}

// Computes what the network hears at a point, and returns the lowest of the model's gains there, as a power of
// ten.
float BandHead::hear(const Values& above, const Measured& measured) {
  float below = 0, high = 0, lowest = 0;
  for (const float power : measured.heard) below += power / kBelow;
  for (const float power : above) high += power / static_cast<float>(above.size());
  const float total = below + high;
  mean_ = mean_ < 0 ? total : keep_ * mean_ + (1 - keep_) * total;
  const float reference = log10(mean_ + kSilent);
  std::fill(heard_.begin(), heard_.begin() + kFloor, kLowest);
  std::fill(heard_.begin() + kFloor, heard_.begin() + kWidth, kLowestExcess);
  for (std::size_t band = 0; band < kBelow; ++band) {
    const float had = log10(measured.heard[band] + kSilent);
    const float gain = std::clamp((log10(measured.left[band] + kSilent) - had) / 2, kLowestGain, 0.0F);
    heard_[band] = std::clamp(had - reference, kLowest, kHighest);
    heard_[kBelow + band] = gain;
    lowest = std::min(lowest, gain);
  }
  if (levels_.empty()) levels_ = above;
  for (std::size_t band = 0; band < above.size(); ++band) {
    const float power = log10(above[band] + kSilent);
    heard_[2 * kBelow + band] = std::clamp(power - reference, kLowest, kHighest);
    const float over = (above[band] + kSilent) / steady_noise(above[band], band);
    const float excess = std::max(over - 1, kLeastExcess);
    heard_[kFloor + band] = std::clamp(log10(excess), kLowestExcess, kHighest);
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
  known.of_values(heard_.data(), input_);
  known.of_state(heard_.data() + kWidth, before_);
  const std::size_t units = known.units;
  float *const input = input_.data(), *const before = before_.data();
  float* const state = heard_.data() + kWidth + 1;
  for (std::size_t gate = 0; gate < 2 * units; ++gate) input[gate] = sigmoid(input[gate] + before[gate]);
  for (std::size_t unit = 0; unit < units; ++unit) {
    const float fresh = tanh(input[2 * units + unit] + input[unit] * before[2 * units + unit]);
    state[unit] = fresh + input[units + unit] * (state[unit] - fresh);
  }
  known.of_gain(heard_.data() + kFloor, gains_);
  gains_.resize(above.size());
  const float removed = std::min(-kPassing * lowest, 1.0F);
  float upper = 0;
  for (std::size_t band = kUpper; band < kBelow; ++band) upper += heard_[kBelow + band] / (kBelow - kUpper);
  const float followed = exp(kLog10 * upper);
  for (float& gain : gains_) gain = (1 - sigmoid(-gain) * removed) * followed;
  return gains_;
}

}  // namespace sese

#include "high_bands.h"

#include <algorithm>
#include <cmath>

#include "kaiser.h"

namespace sese {
namespace {

constexpr double kBandsPerOctave = 6;
constexpr double kHighest =
    3;  // begin of the last band at most, as a multiple of the end of the model's band
constexpr double kLongestSeconds = 0.008;    // distance of two points at most
constexpr std::size_t kFewestSamples = 8;  // that two points are apart, at the model's rate
constexpr double kStopDb = 70;

// The lowest even number from `least` on without prime factors above 5.
std::size_t quick_size(std::size_t least) {
  for (std::size_t size = least + least % 2;; size += 2) {
    std::size_t rest = size;
    for (const std::size_t factor : {2, 3, 5})
      while (rest % factor == 0) rest /= factor;
    if (rest == 1) return size;
  }
}

}  // namespace

std::vector<double> band_edges(int model_hz, int rate_hz) {
  const double begin = model_hz / 2.0, end = rate_hz / 2.0;
  const double narrowest = begin * (std::pow(2.0, 1 / kBandsPerOctave) - 1) / 2;
  std::vector<double> edges;
  for (int i = 0; i <= std::floor(kBandsPerOctave * std::log2(kHighest)); ++i) {
    const double start = begin * std::pow(2.0, i / kBandsPerOctave);
    if (start <= end - narrowest) edges.push_back(start);
  }
  if (!edges.empty()) edges.push_back(end);
  return edges;
}

Points::Points(int model_hz, int rate_hz, std::size_t hop, std::size_t lookahead)
    : model_hz_(model_hz), rate_hz_(rate_hz), lookahead_(static_cast<std::int64_t>(lookahead)) {
  const double ratio = static_cast<double>(rate_hz) / model_hz;
  // Resampling to the model's rate waits for the second term.
  const double ahead = (static_cast<double>(lookahead) - 1) * ratio + std::ceil(kReachSeconds * rate_hz);
  const double longest = std::max(1.0, std::floor(std::min(ahead, std::ceil(kLongestSeconds * rate_hz))));
  auto parts = static_cast<std::size_t>(std::ceil(static_cast<double>(hop) * ratio / longest));
  while (parts <= hop / kFewestSamples && hop % parts != 0) ++parts;
  close = parts <= hop / kFewestSamples;
  part = close ? hop / parts : hop;
  seconds = static_cast<double>(part) / model_hz;
  spacing = static_cast<std::size_t>(std::ceil(static_cast<double>(part) * ratio));
  skipped = static_cast<std::int64_t>(lookahead / part);
}

std::int64_t Points::at(std::int64_t number) const {
  const std::int64_t place = number * static_cast<std::int64_t>(part) - lookahead_;
  const std::int64_t halves = 2 * place * rate_hz_ + model_hz_, whole = halves / (2 * model_hz_);
  return halves % (2 * model_hz_) < 0 ? whole - 1 : whole;
}

HighBands::HighBands(std::size_t spacing, const std::vector<double>& edges, int rate_hz)
    : spacing_(spacing),
      transform_(quick_size(2 * spacing)),
      spectrum_(transform_.bins()),
      samples_(2 * (transform_.bins() - 1)),
      power_(edges.size() - 1) {
  const std::size_t size = samples_.size();
  for (const double edge : edges) {
    std::size_t bin = 0;
    while (bin < size / 2 && static_cast<double>(bin) * rate_hz / static_cast<double>(size) < edge) ++bin;
    bounds_.push_back(bin);
  }
  respond(edges, rate_hz);
  for (const std::size_t shorter : {0, 1})
    for (std::size_t i = 0; i <= spacing; ++i) {
      const double place = static_cast<double>(i) / static_cast<double>(spacing - shorter);
      windows_[shorter].push_back(static_cast<float>(std::cos(kPi / 2 * std::min(place, 1.0))));
    }
}

// Designs the bands: each is the difference of two low-pass filters, the last one that of all and a low-pass.
void HighBands::respond(const std::vector<double>& edges, int rate_hz) {
  const std::size_t reach = std::max<std::size_t>(1, spacing_ / 2), size = samples_.size();
  const double width = (kStopDb - 7.95) / (2.285 * 4 * kPi * static_cast<double>(reach)) * rate_hz;
  std::vector<double> cosines;
  for (std::size_t i = 0; i < size; ++i)
    cosines.push_back(std::cos(2 * kPi * static_cast<double>(i) / static_cast<double>(size)));
  std::vector<std::vector<double>> lows;
  for (std::size_t band = 0; band < power_.size(); ++band) {
    const double cut = (band == 0 ? std::min(edges[0] + width / 2, edges[1]) : edges[band]) / rate_hz;
    std::vector<double> kernel;  // from its middle on
    double sum = 0;
    for (std::size_t tap = 0; tap <= reach; ++tap) {
      const double at = static_cast<double>(tap) / static_cast<double>(reach);
      kernel.push_back(sinc(2 * cut * static_cast<double>(tap)) * kaiser(at, kStopDb));
      sum += (tap == 0 ? 1 : 2) * kernel.back();
    }
    std::vector<double> low;
    for (std::size_t bin = 0; bin < transform_.bins(); ++bin) {
      double value = kernel[0];
      for (std::size_t tap = 1; tap < kernel.size(); ++tap)
        value += 2 * kernel[tap] * cosines[tap * bin % size];
      low.push_back(value / sum);
    }
    lows.push_back(low);
  }
  lows.emplace_back(transform_.bins(), 1.0);
  const auto response = [&](std::size_t band, std::size_t bin) {
    return lows[band + 1][bin] - lows[band][bin];
  };
  const auto stops = [&](std::size_t bin) {
    for (std::size_t band = 0; band < power_.size(); ++band)
      if (std::abs(response(band, bin)) > std::pow(10.0, -kStopDb / 20)) return false;
    return true;
  };
  while (stops(first_)) ++first_;
  response_ = Product(power_.size(), transform_.bins() - first_);
  for (std::size_t band = 0; band < power_.size(); ++band)
    for (std::size_t bin = first_; bin < transform_.bins(); ++bin)
      response_.weight(band, bin - first_) = static_cast<float>(response(band, bin));
}

const Values& HighBands::take(const float* audio, std::size_t before, std::size_t after) {
  before_ = before, after_ = after;
  std::copy_n(audio, 2 * spacing_, samples_.begin());
  std::fill(samples_.begin() + static_cast<std::ptrdiff_t>(2 * spacing_), samples_.end(), 0.0F);
  window();
  transform_.forward(samples_.data(), spectrum_);
  for (std::size_t band = 0; band < power_.size(); ++band) {
    const std::size_t begin = std::max(bounds_[band], first_), end = std::max(bounds_[band + 1], begin);
    const float *real = spectrum_.real.data() + begin, *imaginary = spectrum_.imaginary.data() + begin;
    const float energy = dot(real, real, end - begin) + dot(imaginary, imaginary, end - begin);
    const std::size_t bins = std::max<std::size_t>(bounds_[band + 1] - bounds_[band], 1);
    power_[band] = energy / static_cast<float>(bins * spacing_);  // the energy of the window
  }
  return power_;
}

const Values& HighBands::apply(const Values& gains) {
  response_(gains.data(), gain_);
  float *real = spectrum_.real.data(), *imaginary = spectrum_.imaginary.data();
  std::fill_n(real, first_, 0.0F), std::fill_n(imaginary, first_, 0.0F);
  for (std::size_t bin = first_; bin < transform_.bins(); ++bin) {
    real[bin] *= gain_[bin - first_];
    imaginary[bin] *= gain_[bin - first_];
  }
  transform_.inverse(spectrum_, samples_.data());
  window();
  return samples_;
}

// Applies the root of a Hann window from one neighbour of the point taken to the other.
void HighBands::window() {
  const float* rising = windows_[spacing_ - before_].data() + spacing_;
  const float* falling = windows_[spacing_ - after_].data();
  float *first = samples_.data(), *second = first + spacing_;
  for (std::size_t i = 0; i < spacing_; ++i) first[i] *= *rising--;
  for (std::size_t i = 0; i < spacing_; ++i) second[i] *= falling[i];
}

}  // namespace sese

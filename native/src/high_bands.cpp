#include "high_bands.h"

#include <algorithm>
#include <cmath>

#include "kaiser.h"

namespace sese {
namespace {

constexpr double kBandsPerOctave = 6;
constexpr double kHighest =
    3;  // begin of the last band at most, as a multiple of the end of the model's band
constexpr double kLongestSeconds = 0.008;
constexpr std::size_t kFewestSamples = 8;  // that two points are apart, at the model's rate
constexpr double kStopDb = 70;

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

Points::Points(int model_hz, int rate_hz, std::size_t hop, std::size_t lookahead) {
  const double ratio = static_cast<double>(rate_hz) / model_hz, length = static_cast<double>(hop) * ratio;
  // Resampling to the model's rate waits for the second term.
  const double ahead = (static_cast<double>(lookahead) - 1) * ratio + std::ceil(kReachSeconds * rate_hz);
  reach = static_cast<std::int64_t>(std::max(1.0, std::floor(std::min(ahead, kLongestSeconds * rate_hz))));
  auto parts = static_cast<std::size_t>(std::ceil(2 * length / static_cast<double>(reach)));
  while (parts <= hop / kFewestSamples && hop % parts != 0) ++parts;
  close = parts <= hop / kFewestSamples;
  part = close ? hop / parts : hop;
  seconds = static_cast<double>(part) / model_hz;
  first_ = -static_cast<double>(lookahead) * ratio;
  step_ = static_cast<double>(part) * ratio;
  spacing = static_cast<std::int64_t>(std::ceil(step_)) + 1;
  frame = static_cast<std::int64_t>(std::ceil(length));
}

std::int64_t Points::at(std::int64_t number) const {
  return static_cast<std::int64_t>(std::nearbyint(first_ + static_cast<double>(number) * step_));
}

HighBands::HighBands(const Points& points, const std::vector<double>& edges, int rate_hz)
    : points_(points),
      size_(static_cast<std::size_t>(2 * points.reach)),
      transform_(size_),
      spectrum_(transform_.bins()),
      filtered_(transform_.bins()),
      gain_(transform_.bins()),
      samples_(size_),
      power_(edges.size() - 1),
      heard_(1),
      ready_(1) {
  for (const double edge : edges) {
    std::size_t bin = 0;
    while (bin < size_ / 2 && static_cast<double>(bin) * rate_hz / static_cast<double>(size_) < edge) ++bin;
    bounds_.push_back(bin);
  }
  respond(edges, rate_hz);
  reset();
}

// Designs the bands: each is the difference of two low-pass filters, the last one that of all and a low-pass.
void HighBands::respond(const std::vector<double>& edges, int rate_hz) {
  const std::int64_t reach = points_.reach - points_.spacing;
  const double width = (kStopDb - 7.95) / (2.285 * 4 * kPi * static_cast<double>(reach)) * rate_hz;
  std::vector<double> cosines;
  for (std::size_t i = 0; i < size_; ++i)
    cosines.push_back(std::cos(2 * kPi * static_cast<double>(i) / static_cast<double>(size_)));
  std::vector<std::vector<double>> lows;
  for (std::size_t band = 0; band < power_.size(); ++band) {
    const double cut = (band == 0 ? std::min(edges[0] + width / 2, edges[1]) : edges[band]) / rate_hz;
    std::vector<double> kernel;  // from its middle on
    double sum = 0;
    for (std::int64_t tap = 0; tap <= reach; ++tap) {
      const double at = static_cast<double>(tap) / static_cast<double>(reach);
      kernel.push_back(sinc(2 * cut * static_cast<double>(tap)) * kaiser(at, kStopDb));
      sum += (tap == 0 ? 1 : 2) * kernel.back();
    }
    std::vector<double> low;
    for (std::size_t bin = 0; bin < transform_.bins(); ++bin) {
      double value = kernel[0];
      for (std::size_t tap = 1; tap < kernel.size(); ++tap)
        value += 2 * kernel[tap] * cosines[tap * bin % size_];
      low.push_back(value / sum);
    }
    lows.push_back(low);
  }
  lows.emplace_back(transform_.bins(), 1.0);
  for (std::size_t band = 0; band < power_.size(); ++band) {
    responses_.emplace_back();
    for (std::size_t bin = 0; bin < transform_.bins(); ++bin)
      responses_.back().push_back(static_cast<float>(lows[band + 1][bin] - lows[band][bin]));
  }
}

void HighBands::reset() {
  const std::int64_t silence = 2 * points_.reach + points_.frame;  // before the signal
  begin_ = -silence;
  heard_.restart(static_cast<std::size_t>(silence));
  ready_.restart(0);
  given_ = 0;
}

const Values& HighBands::take(std::int64_t at) {
  transform_.forward(heard_.at(0) + (at - points_.reach - begin_), spectrum_.data());
  for (std::size_t band = 0; band < power_.size(); ++band) {
    const std::size_t begin = bounds_[band], end = bounds_[band + 1];
    float sum = 0;
    for (std::size_t bin = begin; bin < std::min(end, size_ / 2); ++bin) {  // in a Hann window, twice
      const Complex low = spectrum_[bin - 1], middle = spectrum_[bin], high = spectrum_[bin + 1];
      const float real = middle.real - 0.5F * (low.real + high.real);
      const float imaginary = middle.imaginary - 0.5F * (low.imaginary + high.imaginary);
      sum += real * real + imaginary * imaginary;
    }
    // The window has a mean square of 3/2.
    power_[band] = sum / (1.5F * static_cast<float>(std::max<std::size_t>(end - begin, 1) * size_));
  }
  return power_;
}

void HighBands::apply(std::int64_t before, std::int64_t at, std::int64_t after, const Values& gains) {
  std::fill(gain_.begin(), gain_.end(), 0.0F);
  for (std::size_t band = 0; band < gains.size(); ++band)
    for (std::size_t bin = 0; bin < gain_.size(); ++bin) gain_[bin] += gains[band] * responses_[band][bin];
  const std::int64_t spacing = points_.spacing, start = at - spacing - given_;
  const std::int64_t missing = at + spacing - given_ - static_cast<std::int64_t>(ready_.size());
  ready_.extend(static_cast<std::size_t>(std::max<std::int64_t>(missing, 0)));
  for (std::size_t bin = 0; bin < gain_.size(); ++bin)
    filtered_[bin] = {spectrum_[bin].real * gain_[bin], spectrum_[bin].imaginary * gain_[bin]};
  transform_.inverse(filtered_.data(), samples_.data());
  // A triangle that is 1 at the point, and 0 at its neighbours. The first points lie before the signal.
  for (std::int64_t i = std::max<std::int64_t>(0, -start); i < 2 * spacing; ++i) {
    const auto offset = static_cast<float>(i - spacing);
    const float weight = 1 - std::abs(offset) / static_cast<float>(offset < 0 ? at - before : after - at);
    if (weight > 0) ready_.at(0)[start + i] += weight * samples_[points_.reach - spacing + i];
  }
  const std::int64_t drop = std::max<std::int64_t>(0, after - points_.reach - begin_);
  heard_.drop(static_cast<std::size_t>(drop));
  begin_ += drop;
}

void HighBands::read(float* to, std::size_t count) {
  const float* const ready = ready_.at(0);
  for (std::size_t i = 0; i < count; ++i) to[i] += ready[i];
  ready_.drop(count);
  given_ += static_cast<std::int64_t>(count);
}

}  // namespace sese

#include "band_above.h"

#include <algorithm>

namespace sese {

BandAbove::BandAbove(int model_hz, int rate_hz, std::size_t hop, std::size_t lookahead)
    : points_(model_hz, rate_hz, hop, lookahead),
      parts_(hop / points_.part),
      gain_(model_hz, rate_hz, points_.part, lookahead),
      head_(points_.seconds) {
  const auto edges = band_edges(model_hz, rate_hz);
  if (!edges.empty() && points_.close) bands_.emplace(points_, edges, rate_hz);
  reset();
}

void BandAbove::reset() {
  gain_.reset();
  head_.reset();
  if (bands_) bands_->reset();
  next_ = static_cast<std::int64_t>(gain_.skipped());
  given_ = 0;
  gains_.clear();
}

void BandAbove::feed(const float* audio, std::size_t count) {
  if (bands_) bands_->feed(audio, count);
}

void BandAbove::add(const float* enhanced, const float* heard) {
  measured_.clear();
  gain_.add(enhanced, heard, parts_, measured_);
  for (const Measured& measured : measured_) {
    gains_.push_back({points_.at(next_), measured.gain});
    if (bands_) filter(points_.at(next_), measured);
    ++next_;
  }
}

// Filters the input around a point by the gains of its bands.
void BandAbove::filter(std::int64_t at, const Measured& measured) {
  const Values& power = bands_->take(at);
  more_.assign(power.size(), 0.0F);
  if (at >= points_.reach) {  // before the signal there was no noise
    const Values& chosen = head_(power, measured);
    // The rest of the input has the model's gain already.
    for (std::size_t band = 0; band < more_.size(); ++band) more_[band] = chosen[band] - measured.gain;
  }
  bands_->apply(points_.at(next_ - 1), at, points_.at(next_ + 1), more_);
}

void BandAbove::read(float* rest, std::size_t count) {
  if (gains_.empty()) {
    given_ += static_cast<std::int64_t>(count);
    return;
  }
  for (std::size_t i = 0; i < count; ++i, ++given_) {
    while (gains_.size() > 1 && gains_[1].at <= given_) gains_.pop_front();
    const Gain from = gains_.front(), to = gains_.size() > 1 ? gains_[1] : from;
    float gain = from.value;
    if (given_ > from.at && to.at > from.at) {
      const double share = static_cast<double>(given_ - from.at) / static_cast<double>(to.at - from.at);
      gain = static_cast<float>(from.value + (to.value - from.value) * share);
    }
    rest[i] *= gain;
  }
  if (bands_) bands_->read(rest, count);
}

}  // namespace sese

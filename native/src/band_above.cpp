#include "band_above.h"

#include <algorithm>

namespace sese {
namespace {

// Adds samples times a gain that moves in a straight line.
void add_moving(float begin, float end, const float* samples, float* to, std::size_t count) {
  const float step = (end - begin) / static_cast<float>(count);
  for (int i = 0; i < static_cast<int>(count); ++i)
    to[i] += (begin + step * static_cast<float>(i)) * samples[i];
}

}  // namespace

BandAbove::BandAbove(int model_hz, int rate_hz, std::size_t hop, std::size_t lookahead)
    : points_(model_hz, rate_hz, hop, lookahead),
      parts_(hop / points_.part),
      gain_(model_hz, rate_hz, points_.part),
      head_(points_.seconds),
      input_(1),
      ready_(1) {
  const auto edges = band_edges(model_hz, rate_hz);
  if (!edges.empty() && points_.close) bands_.emplace(points_.spacing, edges, rate_hz);
  reset();
}

void BandAbove::reset() {
  gain_.reset();
  head_.reset();
  part_ = 0;
  begin_ = -2 * static_cast<std::int64_t>(points_.spacing);
  input_.restart(2 * points_.spacing);
  ready_.restart(points_.spacing);
}

void BandAbove::add(float* enhanced, const float* heard) {
  for (std::size_t i = 0; i < parts_; ++i, ++part_, enhanced += points_.part, heard += points_.part) {
    if (part_ < points_.skipped) continue;
    const Measured measured = gain_(enhanced, heard);
    treat(measured);
    add_moving(-measured.before, -measured.gain, heard, enhanced, points_.part);
  }
}

// Computes the samples of a part.
void BandAbove::treat(const Measured& measured) {
  const std::int64_t start = points_.at(part_), end = points_.at(part_ + 1), after = points_.at(part_ + 2);
  const auto count = static_cast<std::size_t>(end - start);
  const float* const audio = input_.at(0) + (start - begin_);
  ready_.extend(count);
  float* const to = ready_.at(0) + (ready_.size() - count - points_.spacing);
  add_moving(measured.before, measured.gain, audio, to, count);
  if (bands_) {
    const float* const around = audio + count - points_.spacing;
    const Values& power = bands_->take(around, count, static_cast<std::size_t>(after - end));
    more_ = head_(power, measured);
    for (float& gain : more_) gain -= measured.gain;  // the input has the model's gain already
    const float* const filtered = bands_->apply(more_).data() + points_.spacing - count;
    for (std::size_t i = 0; i < count + points_.spacing; ++i) to[i] += filtered[i];
  }
  if (start < 0) ready_.drop(static_cast<std::size_t>(-start));  // the first point lies before the signal
  const auto spacing = static_cast<std::int64_t>(points_.spacing);
  const std::int64_t drop = std::max<std::int64_t>(0, after - spacing - begin_);
  input_.drop(static_cast<std::size_t>(drop));
  begin_ += drop;
}

void BandAbove::read(float* samples, std::size_t count) {
  const float* const ready = ready_.at(0);
  for (std::size_t i = 0; i < count; ++i) samples[i] += ready[i];
  ready_.drop(count);
}

}  // namespace sese

#include "transform.h"

#include <cmath>
#include <utility>

#include "kaiser.h"
#include "lanes.h"

namespace sese {
namespace {

void set_root(Complexes& roots, std::size_t at, std::size_t turn, std::size_t turns) {
  const double angle = -2 * kPi * static_cast<double>(turn) / static_cast<double>(turns);
  roots.real[at] = static_cast<float>(std::cos(angle));
  roots.imaginary[at] = static_cast<float>(std::sin(angle));
}

// Primes first, then fours.
std::vector<std::size_t> factors_of(std::size_t number) {
  std::size_t fours = 0;
  for (; number % 4 == 0; number /= 4) ++fours;
  std::vector<std::size_t> factors;
  for (std::size_t prime = 2; number > 1; ++prime)
    for (; number % prime == 0; number /= prime) factors.push_back(prime);
  factors.insert(factors.end(), fours, 4);
  return factors;
}

// Transforms of so many values in place.
template <typename Value>
void transform(Value (&re)[2], Value (&im)[2]) {
  const Value real = re[1], imaginary = im[1];
  re[1] = re[0] - real, im[1] = im[0] - imaginary;
  re[0] += real, im[0] += imaginary;
}

template <typename Value>
void transform(Value (&re)[3], Value (&im)[3]) {
  constexpr float kSine = 0.866025403784438647F;
  const Value sum_re = re[1] + re[2], sum_im = im[1] + im[2];
  const Value turned_re = kSine * (im[1] - im[2]), turned_im = kSine * (re[2] - re[1]);
  const Value middle_re = re[0] - 0.5F * sum_re, middle_im = im[0] - 0.5F * sum_im;
  re[0] += sum_re, im[0] += sum_im;
  re[1] = middle_re + turned_re, im[1] = middle_im + turned_im;
  re[2] = middle_re - turned_re, im[2] = middle_im - turned_im;
}

template <typename Value>
void transform(Value (&re)[4], Value (&im)[4]) {
  const Value a_re = re[0] + re[2], a_im = im[0] + im[2], b_re = re[0] - re[2], b_im = im[0] - im[2];
  const Value c_re = re[1] + re[3], c_im = im[1] + im[3], d_re = im[1] - im[3], d_im = re[3] - re[1];
  re[0] = a_re + c_re, im[0] = a_im + c_im;
  re[1] = b_re + d_re, im[1] = b_im + d_im;
  re[2] = a_re - c_re, im[2] = a_im - c_im;
  re[3] = b_re - d_re, im[3] = b_im - d_im;
}

template <typename Value>
void transform(Value (&re)[5], Value (&im)[5]) {
  constexpr float kCosine1 = 0.309016994374947424F, kCosine2 = -0.809016994374947424F;
  constexpr float kSine1 = 0.951056516295153572F, kSine2 = 0.587785252292473129F;
  const Value a_re = re[1] + re[4], a_im = im[1] + im[4], b_re = re[2] + re[3], b_im = im[2] + im[3];
  const Value c_re = re[1] - re[4], c_im = im[1] - im[4], d_re = re[2] - re[3], d_im = im[2] - im[3];
  const Value e_re = re[0] + kCosine1 * a_re + kCosine2 * b_re;
  const Value e_im = im[0] + kCosine1 * a_im + kCosine2 * b_im;
  const Value f_re = re[0] + kCosine2 * a_re + kCosine1 * b_re;
  const Value f_im = im[0] + kCosine2 * a_im + kCosine1 * b_im;
  const Value g_re = kSine1 * c_im + kSine2 * d_im, g_im = -kSine1 * c_re - kSine2 * d_re;
  const Value h_re = kSine2 * c_im - kSine1 * d_im, h_im = kSine1 * d_re - kSine2 * c_re;
  re[0] += a_re + b_re, im[0] += a_im + b_im;
  re[1] = e_re + g_re, im[1] = e_im + g_im;
  re[2] = f_re + h_re, im[2] = f_im + h_im;
  re[3] = f_re - h_re, im[3] = f_im - h_im;
  re[4] = e_re - g_re, im[4] = e_im - g_im;
}

// Reads values that lie `step` apart.
template <typename Value>
Value gather(const float* from, std::size_t step) {
  float values[sizeof(Value) / sizeof(float)];
  for (float& value : values) value = *from, from += step;
  return load<Value>(values);
}

}  // namespace

// Transforms of `kFactor` values, and turns by roots of unity; `Value` holds as many as are made at a time.
template <std::size_t kFactor, typename Value>
void Transform::pass(const Pass& pass) {
  constexpr std::size_t kAtOnce = sizeof(Value) / sizeof(float);
  const auto& [factor, done, rest, turns] = pass;
  for (std::size_t block = 0; block < done; ++block) {
    const float* in_re = values_.real.data() + block * rest * kFactor;
    const float* in_im = values_.imaginary.data() + block * rest * kFactor;
    float *out_re = scratch_.real.data() + block * rest, *out_im = scratch_.imaginary.data() + block * rest;
    for (std::size_t i = 0; i < rest; i += kAtOnce) {
      Value re[kFactor], im[kFactor];
      for (std::size_t j = 0; j < kFactor; ++j)
        re[j] = load<Value>(in_re + i + j * rest), im[j] = load<Value>(in_im + i + j * rest);
      transform(re, im);
      store(re[0], out_re + i), store(im[0], out_im + i);
      for (std::size_t j = 1; j < kFactor; ++j) {
        const auto cosine = load<Value>(turns.real.data() + i + (j - 1) * rest);
        const auto sine = load<Value>(turns.imaginary.data() + i + (j - 1) * rest);
        store(re[j] * cosine - im[j] * sine, out_re + i + j * done * rest);
        store(re[j] * sine + im[j] * cosine, out_im + i + j * done * rest);
      }
    }
  }
}

// A pass for any factor.
void Transform::slow_pass(const Pass& pass) {
  const auto& [factor, done, rest, turns] = pass;
  for (std::size_t block = 0; block < done; ++block)
    for (std::size_t j = 0; j < factor; ++j)
      for (std::size_t i = 0; i < rest; ++i) {
        float re = 0, im = 0;
        for (std::size_t q = 0; q < factor; ++q) {
          const std::size_t from = i + (block * factor + q) * rest, turn = i + (j * factor + q) * rest;
          re += values_.real[from] * turns.real[turn] - values_.imaginary[from] * turns.imaginary[turn];
          im += values_.real[from] * turns.imaginary[turn] + values_.imaginary[from] * turns.real[turn];
        }
        const std::size_t to = i + (j * done + block) * rest;
        scratch_.real[to] = re, scratch_.imaginary[to] = im;
      }
}

// The last pass, which needs no turns.
template <std::size_t kFactor, typename Value>
void Transform::last_pass(std::size_t done) {
  constexpr std::size_t kAtOnce = sizeof(Value) / sizeof(float);
  for (std::size_t i = 0; i < done; i += kAtOnce) {
    Value re[kFactor], im[kFactor];
    for (std::size_t j = 0; j < kFactor; ++j) {
      re[j] = gather<Value>(values_.real.data() + i * kFactor + j, kFactor);
      im[j] = gather<Value>(values_.imaginary.data() + i * kFactor + j, kFactor);
    }
    transform(re, im);
    for (std::size_t j = 0; j < kFactor; ++j) {
      store(re[j], scratch_.real.data() + i + j * done);
      store(im[j], scratch_.imaginary.data() + i + j * done);
    }
  }
}

template <std::size_t kFactor>
void Transform::pass_of(const Pass& each) {
  if (each.rest == 1)
    each.done % kLanes == 0 ? last_pass<kFactor, Lanes>(each.done) : last_pass<kFactor, float>(each.done);
  else
    each.rest % kLanes == 0 ? pass<kFactor, Lanes>(each) : pass<kFactor, float>(each);
}

Transform::Transform(std::size_t length)
    : half_(length / 2), turns_(half_ + 1), values_(half_ + 1), scratch_(half_ + 1) {
  for (std::size_t i = 0; i <= half_; ++i) set_root(turns_, i, i, length);
  std::size_t done = 1;
  for (const std::size_t factor : factors_of(half_)) {
    const std::size_t rest = half_ / (done * factor);
    const bool slow = factor > 5;
    Complexes turns((slow ? factor * factor : factor - 1) * rest);
    for (std::size_t i = 0; i < rest; ++i)
      if (slow)
        for (std::size_t k = 0; k < factor * factor; ++k)
          set_root(turns, k * rest + i, k / factor * (done * i + k % factor * (half_ / factor)), half_);
      else
        for (std::size_t j = 1; j < factor; ++j) set_root(turns, (j - 1) * rest + i, j * done * i, half_);
    passes_.push_back({factor, done, rest, std::move(turns)});
    done *= factor;
  }
}

// Even samples are the real parts of a signal of half the length, odd ones the imaginary parts.
void Transform::forward(const float* samples, Complexes& spectrum) {
  float* __restrict re = values_.real.data();
  float* __restrict im = values_.imaginary.data();
  for (std::size_t i = 0; i < half_; ++i) re[i] = samples[2 * i], im[i] = samples[2 * i + 1];
  run();
  re = values_.real.data(), im = values_.imaginary.data();
  re[half_] = re[0], im[half_] = im[0];
  const float *turn_re = turns_.real.data(), *turn_im = turns_.imaginary.data();
  float* __restrict to_re = spectrum.real.data();
  float* __restrict to_im = spectrum.imaginary.data();
  for (std::size_t i = 0; i <= half_ / 2; ++i) {
    const std::size_t j = half_ - i;
    const float even_re = re[i] + re[j], even_im = im[i] - im[j];
    const float one_re = im[i] + im[j], one_im = re[j] - re[i];
    const float odd_re = one_re * turn_re[i] - one_im * turn_im[i];
    const float odd_im = one_re * turn_im[i] + one_im * turn_re[i];
    to_re[i] = 0.5F * (even_re + odd_re), to_im[i] = 0.5F * (even_im + odd_im);
    to_re[j] = 0.5F * (even_re - odd_re), to_im[j] = 0.5F * (odd_im - even_im);
  }
}

void Transform::inverse(const Complexes& spectrum, float* samples) {
  const float *re = spectrum.real.data(), *im = spectrum.imaginary.data();
  const float *turn_re = turns_.real.data(), *turn_im = turns_.imaginary.data();
  float* __restrict to_re = values_.real.data();
  float* __restrict to_im = values_.imaginary.data();
  for (std::size_t i = 0; i <= half_ / 2; ++i) {
    const std::size_t j = half_ - i;
    const float even_re = re[i] + re[j], even_im = im[i] - im[j];
    const float one_re = re[i] - re[j], one_im = im[i] + im[j];
    const float odd_re = one_re * turn_re[i] + one_im * turn_im[i];
    const float odd_im = one_im * turn_re[i] - one_re * turn_im[i];
    // even + i odd, conjugated: a forward transform then is an inverse one
    to_re[i] = even_re - odd_im, to_im[i] = -(even_im + odd_re);
    to_re[j] = even_re + odd_im, to_im[j] = even_im - odd_re;
  }
  run();
  to_re = values_.real.data(), to_im = values_.imaginary.data();
  const float scale = 0.5F / static_cast<float>(half_);
  for (std::size_t i = 0; i < half_; ++i)
    samples[2 * i] = scale * to_re[i], samples[2 * i + 1] = -scale * to_im[i];
}

// Transforms `values_`, by one factor after the other; each pass leaves its results in order.
void Transform::run() {
  for (const Pass& each : passes_) {
    if (each.factor == 2) pass_of<2>(each);
    if (each.factor == 3) pass_of<3>(each);
    if (each.factor == 4) pass_of<4>(each);
    if (each.factor == 5) pass_of<5>(each);
    if (each.factor > 5) slow_pass(each);
    std::swap(values_, scratch_);
  }
}

}  // namespace sese

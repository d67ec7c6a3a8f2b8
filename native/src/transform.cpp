#include "transform.h"

#include <cmath>

#include "kaiser.h"

namespace sese {
namespace {

Complex operator+(Complex a, Complex b) { return {a.real + b.real, a.imaginary + b.imaginary}; }
Complex operator-(Complex a, Complex b) { return {a.real - b.real, a.imaginary - b.imaginary}; }
Complex operator*(Complex a, Complex b) {
  return {a.real * b.real - a.imaginary * b.imaginary, a.real * b.imaginary + a.imaginary * b.real};
}
Complex conjugate(Complex a) { return {a.real, -a.imaginary}; }
Complex turned(Complex a) { return {a.imaginary, -a.real}; }  // by a quarter, -i times a

std::vector<Complex> roots_of_unity(std::size_t count) {
  std::vector<Complex> roots;
  for (std::size_t i = 0; i < count; ++i) {
    const double angle = -2 * kPi * static_cast<double>(i) / static_cast<double>(count);
    roots.push_back({static_cast<float>(std::cos(angle)), static_cast<float>(std::sin(angle))});
  }
  return roots;
}

// Fours first, then primes.
std::vector<std::size_t> factors_of(std::size_t number) {
  std::vector<std::size_t> factors;
  for (; number % 4 == 0; number /= 4) factors.push_back(4);
  for (std::size_t prime = 2; number > 1; ++prime)
    for (; number % prime == 0; number /= prime) factors.push_back(prime);
  return factors;
}

}  // namespace

Transform::Transform(std::size_t length)
    : half_(length / 2),
      factors_(factors_of(half_)),
      roots_(roots_of_unity(half_)),
      turns_(roots_of_unity(length)),
      values_(half_),
      scratch_(half_) {}

// Even samples are the real parts of a signal of half the length, odd ones the imaginary parts.
void Transform::forward(const float* samples, Complex* spectrum) {
  for (std::size_t i = 0; i < half_; ++i) values_[i] = {samples[2 * i], samples[2 * i + 1]};
  run();
  for (std::size_t i = 0; i <= half_; ++i) {
    const Complex one = values_[i % half_], other = conjugate(values_[(half_ - i) % half_]);
    const Complex even = one + other, odd = turned(one - other) * turns_[i];
    spectrum[i] = {0.5F * (even.real + odd.real), 0.5F * (even.imaginary + odd.imaginary)};
  }
}

void Transform::inverse(const Complex* spectrum, float* samples) {
  for (std::size_t i = 0; i < half_; ++i) {
    const Complex one = spectrum[i], other = conjugate(spectrum[half_ - i]);
    const Complex even = one + other, odd = (one - other) * conjugate(turns_[i]);
    // even + i odd, conjugated: a forward transform then is an inverse one
    values_[i] = {even.real - odd.imaginary, -(even.imaginary + odd.real)};
  }
  run();
  const float scale = 0.5F / static_cast<float>(half_);
  for (std::size_t i = 0; i < half_; ++i) {
    samples[2 * i] = scale * values_[i].real;
    samples[2 * i + 1] = -scale * values_[i].imaginary;
  }
}

// Transforms `values_`, by one factor after the other; each pass leaves its results in order.
void Transform::run() {
  std::size_t done = 1;  // product of the factors so far
  for (const std::size_t factor : factors_) {
    const std::size_t rest = half_ / (done * factor), step = half_ / factor;
    for (std::size_t k = 0; k < done; ++k)
      for (std::size_t i = 0; i < rest; ++i) {
        const Complex* in = values_.data() + i + rest * factor * k;
        Complex* out = scratch_.data() + i + rest * k;
        const auto put = [&](std::size_t j, Complex sum) {
          out[rest * done * j] = sum * roots_[j * done * i];
        };
        if (factor == 4) {
          const Complex a = in[0] + in[2 * rest], b = in[0] - in[2 * rest];
          const Complex c = in[rest] + in[3 * rest], d = turned(in[rest] - in[3 * rest]);
          out[0] = a + c;
          put(1, b + d), put(2, a - c), put(3, b - d);
        } else if (factor == 2) {
          out[0] = in[0] + in[rest];
          put(1, in[0] - in[rest]);
        } else {
          for (std::size_t j = 0; j < factor; ++j) {
            Complex sum = in[0];
            for (std::size_t q = 1; q < factor; ++q) sum = sum + in[rest * q] * roots_[j * q % factor * step];
            put(j, sum);
          }
        }
      }
    values_.swap(scratch_);
    done *= factor;
  }
}

}  // namespace sese

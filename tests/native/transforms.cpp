// transforms: compare transforms of all even lengths up to 200 with sums, and print the largest difference.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

#include "transform.h"

int main() {
  std::mt19937 random(0);
  std::normal_distribution<float> normal;
  double largest = 0;
  for (std::size_t length = 2; length <= 200; length += 2) {
    sese::Transform transform(length);
    sese::Complexes spectrum(transform.bins());
    std::vector<float> samples(length), again(length);
    for (float& sample : samples) sample = normal(random);
    transform.forward(samples.data(), spectrum);
    for (std::size_t bin = 0; bin < transform.bins(); ++bin) {
      double real = 0, imaginary = 0;
      for (std::size_t i = 0; i < length; ++i) {
        const double angle = 2 * std::acos(-1.0) * static_cast<double>(bin * i) / static_cast<double>(length);
        real += samples[i] * std::cos(angle), imaginary -= samples[i] * std::sin(angle);
      }
      largest = std::max(largest, std::hypot(real - spectrum.real[bin], imaginary - spectrum.imaginary[bin]));
    }
    transform.inverse(spectrum, again.data());
    for (std::size_t i = 0; i < length; ++i)
      largest = std::max<double>(largest, std::abs(again[i] - samples[i]));
  }
  std::printf("%g\n", largest);
}

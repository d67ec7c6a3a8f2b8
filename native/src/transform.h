// Discrete Fourier transforms of real signals.
#pragma once

#include <cstddef>
#include <vector>

namespace sese {

// Complex numbers.
struct Complexes {
  explicit Complexes(std::size_t count) : real(count), imaginary(count) {}

  std::vector<float> real, imaginary;
};

// Transforms of one length, which is even. Lengths with prime factors above 5 take longer.
class Transform {
 public:
  explicit Transform(std::size_t length);

  std::size_t bins() const { return half_ + 1; }
  // Writes the spectrum of `length` samples, `bins` values.
  void forward(const float* samples, Complexes& spectrum);
  // Writes the samples of a spectrum.
  void inverse(const Complexes& spectrum, float* samples);

 private:
  struct Pass {
    std::size_t factor, done, rest;  // this factor of half the length, products of those before and after
    Complexes turns;                 // [output but the first, i]; [output, input, i] in slow passes
  };

  void run();
  template <std::size_t kFactor>
  void pass_of(const Pass& each);
  template <std::size_t kFactor, typename Value>
  void pass(const Pass& pass);
  template <std::size_t kFactor, typename Value>
  void last_pass(std::size_t done);
  void slow_pass(const Pass& pass);

  std::size_t half_;
  std::vector<Pass> passes_;
  Complexes turns_;            // roots of unity of the length
  Complexes values_, scratch_;  // of a transform of half the length
};

}  // namespace sese

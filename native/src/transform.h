// Discrete Fourier transforms of real signals.
#pragma once

#include <cstddef>
#include <vector>

namespace sese {

struct Complex {
  float real, imaginary;
};

// Transforms of one length, which is even. Lengths with large prime factors take longer.
class Transform {
 public:
  explicit Transform(std::size_t length);

  std::size_t bins() const { return half_ + 1; }
  // Writes the spectrum of `length` samples, `bins` values.
  void forward(const float* samples, Complex* spectrum);
  // Writes the samples of a spectrum.
  void inverse(const Complex* spectrum, float* samples);

 private:
  void run();

  std::size_t half_;
  std::vector<std::size_t> factors_;    // of half the length
  std::vector<Complex> roots_, turns_;  // of unity, of half the length and of the length
  std::vector<Complex> values_, scratch_;
};

}  // namespace sese

// Values side by side that one instruction computes with, where the compiler has a type for them.
#pragma once

#include <cstddef>
#include <cstring>

namespace sese {

#ifdef __GNUC__
using Lanes = float __attribute__((vector_size(16)));
#else
using Lanes = float;
#endif

constexpr std::size_t kLanes = sizeof(Lanes) / sizeof(float);

template <typename Value>
Value load(const float* from) {
  Value value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <typename Value>
void store(Value value, float* to) {
  std::memcpy(to, &value, sizeof value);
}

}  // namespace sese

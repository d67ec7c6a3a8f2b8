// Who decides on the level of a frame: budgets as Python reads them in src/sese/runtime/budget.py.
#pragma once

#include <cstdint>
#include <string>

#include "facts.h"

namespace sese {

constexpr std::int64_t kRouter = -1;  // the level that leaves the choice to the router

struct Rule {
  std::int64_t level;  // 0 the lowest, or kRouter
  float budget;  // mean share of compute, in (0, 1], that the router holds or stays within; 0: it is free
};

// Reads a number, "auto", "fixed:U", "held:U", "fastest", "balanced" or "best". Throws std::invalid_argument
// where the model has no such budget.
Rule parse_budget(const Facts& facts, const std::string& budget);

// One level, always. Throws std::invalid_argument where there is none of this number.
Rule at_level(const Facts& facts, std::int64_t level);

}  // namespace sese

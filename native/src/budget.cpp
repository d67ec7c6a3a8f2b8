#include "budget.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <locale>
#include <sstream>
#include <stdexcept>
#include <vector>

namespace sese {
namespace {

constexpr double kSlack = 1e-6;  // 1/3 as a decimal is to select the level 1/3
// Share of the time at rest, at most, with which a number is to reach the second level.
constexpr double kPauses = 1.0 / 3;

// Numbers have a point whatever the locale of the program.
std::string short_form(double value) {
  std::ostringstream text;
  text.imbue(std::locale::classic());
  text << value;
  return text.str();
}

double number(const std::string& text) {
  std::istringstream stream(text);
  stream.imbue(std::locale::classic());
  double value = 0;
  const bool whole = stream >> value && stream.peek() == std::istringstream::traits_type::eof();
  return whole ? value : std::numeric_limits<double>::quiet_NaN();
}

std::int64_t highest(const Facts& facts) { return static_cast<std::int64_t>(facts.levels.size()) - 1; }

// The names of the levels: shares of compute, or numbers from 1 where they are experts.
std::string listed(const Facts& facts) {
  std::string text;
  for (std::size_t i = 0; i < facts.levels.size(); ++i) {
    text += i == 0 ? "" : ", ";
    text += facts.alternatives ? "fixed:" + std::to_string(i + 1) : short_form(facts.levels[i].utilization);
  }
  return text;
}

[[noreturn]] void refuse_budget(const Facts& facts, const std::string& budget, const std::string& why) {
  throw std::invalid_argument("budget is '" + budget + "' and " + facts.name + " " + why + "; it has " +
                              listed(facts));
}

// The scores of all levels by the first metric that all have; none where there is no such metric.
std::vector<double> qualities(const Facts& facts) {
  for (const char* const metric : {"pesq_wb", "pesq", "si_sdr"}) {
    std::vector<double> found;
    for (const auto& level : facts.levels)
      for (const auto& name : {"fixed:" + short_form(level.utilization), short_form(level.utilization)}) {
        const auto scores = facts.quality.find(name);
        if (scores == facts.quality.end() || scores->second.count(metric) == 0) continue;
        found.push_back(scores->second.at(metric));
        break;
      }
    if (found.size() == facts.levels.size()) return found;
  }
  return {};
}

// The level at the knee of quality over cost, as src/sese/runtime/presets.py finds it.
std::size_t balanced(const Facts& facts) {
  const std::size_t count = facts.levels.size();
  const auto quality = qualities(facts);
  if (count < 3 || quality.empty()) return (count - 1) / 2;
  const auto [worst, best] = std::minmax_element(quality.begin(), quality.end());
  if (*worst == *best) return (count - 1) / 2;
  const double least = facts.levels.front().macs_per_second;
  const double range = std::max(facts.levels.back().macs_per_second - least, 1e-9);
  std::size_t knee = 1;
  double most = -std::numeric_limits<double>::infinity();
  for (std::size_t i = 1; i + 1 < count; ++i) {
    const double gained = (quality[i] - *worst) / (*best - *worst);
    const double ahead = gained - (facts.levels[i].macs_per_second - least) / range;
    if (ahead > most) most = ahead, knee = i;
  }
  return knee;
}

std::size_t highest_within(const Facts& facts, double value) {
  std::size_t level = 0;
  for (std::size_t i = 0; i < facts.levels.size(); ++i)
    if (facts.levels[i].utilization <= value + kSlack) level = i;
  return level;
}

// The lowest number at which a model rests: below it, rests at the lowest level cost more time than they save, and
// the second level is too far.
double rests_from(const Facts& facts) {
  if (!facts.rests || facts.levels.size() < 2) return std::numeric_limits<double>::infinity();
  return (1 - kPauses) * facts.levels[1].utilization;
}

Rule share(const Facts& facts, const std::string& budget, double value) {
  if (facts.alternatives || facts.gates) {
    if (value != 1) refuse_budget(facts, budget, "runs at no other budget than 1, or at one of its levels");
    return facts.router ? Rule{kRouter, 0} : Rule{highest(facts), 0};
  }
  const double lowest = facts.levels.front().utilization;
  if (!(value >= lowest - kSlack && value <= 1))
    refuse_budget(facts, budget, "takes a number from " + short_form(lowest) + ", the lowest level, to 1");
  if (value >= rests_from(facts) - kSlack && value < facts.levels.back().utilization - kSlack)
    return {kRouter, static_cast<float>(value)};
  return {static_cast<std::int64_t>(highest_within(facts, value)), 0};
}

// The router, which holds a mean: for measuring routers.
Rule held(const Facts& facts, const std::string& budget, double value) {
  if (!facts.router || facts.gates || facts.alternatives)
    refuse_budget(facts, budget, "has no router that holds a mean");
  const double lowest = facts.levels.front().utilization;
  if (!(value >= lowest - kSlack && value <= 1))
    refuse_budget(facts, budget, "holds a mean from " + short_form(lowest) + ", the lowest level, to 1");
  return {kRouter, static_cast<float>(value)};
}

}  // namespace

Rule at_level(const Facts& facts, std::int64_t level) {
  if (level < 0 || level > highest(facts))
    throw std::invalid_argument("there is no level " + std::to_string(level) + "; " + facts.name + " has " +
                                std::to_string(facts.levels.size()) + ", counted from 0: " + listed(facts));
  return {level, 0};
}

Rule parse_budget(const Facts& facts, const std::string& budget) {
  if (budget == "auto") {
    if (!facts.router) refuse_budget(facts, budget, "has no router");
    return {kRouter, 0};
  }
  const bool one = facts.alternatives || facts.levels.size() == 1;  // what presets mean there
  if (budget == "best") return share(facts, budget, 1);
  if (budget == "fastest") return share(facts, budget, one ? 1 : facts.levels.front().utilization);
  if (budget == "balanced") return share(facts, budget, one ? 1 : facts.levels[balanced(facts)].utilization);
  if (budget.rfind("held:", 0) == 0) return held(facts, budget, number(budget.substr(5)));
  if (budget.rfind("fixed:", 0) != 0) return share(facts, budget, number(budget));
  const double wanted = number(budget.substr(6));
  for (std::int64_t i = 0; i <= highest(facts); ++i) {
    const double name = facts.alternatives ? static_cast<double>(i + 1)
                                           : facts.levels[static_cast<std::size_t>(i)].utilization;
    if (std::abs(name - wanted) <= kSlack) return {i, 0};
  }
  refuse_budget(facts, budget, "has no such level");
}

}  // namespace sese

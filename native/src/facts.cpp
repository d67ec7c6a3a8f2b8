#include "facts.h"

#include <nlohmann/json.hpp>
#include <stdexcept>

namespace sese {
namespace {

constexpr int kFormat = 2;            // of the model file that this code reads
constexpr int kHighestRate = 384000;  // a damaged file is not to fill the memory
constexpr std::size_t kLongestHop = 1 << 16, kLongestLookahead = 1 << 20;

}  // namespace

void refuse(const std::string& path, const std::string& what) {
  throw std::runtime_error(path + " is not a model that this program can run: " + what +
                           "; make it anew with `sese export`");
}

Facts read_facts(const std::string& path, const char* text) {
  Facts facts;
  try {
    const auto json = nlohmann::json::parse(text);
    if (json.at("format") != kFormat)
      refuse(path, "its format is " + json.at("format").dump() + " and this program reads " +
                       std::to_string(kFormat));
    facts = {json.at("name"),
             json.at("sample_rate"),
             json.at("hop_length"),
             json.at("lookahead_samples"),
             json.at("latency_samples"),
             {},
             json.at("router"),
             json.value("gates", false),
             json.value("alternatives", false),
             json.value("rests", false),
             {}};
    for (const auto& level : json.at("levels"))
      facts.levels.push_back({level.at("utilization"), level.at("macs_per_second")});
    if (json.contains("quality") && json["quality"].is_object()) facts.quality = json["quality"];
  } catch (const nlohmann::json::exception& error) {
    refuse(path, std::string("its metadata is damaged (") + error.what() + ")");
  }
  const bool sane = !facts.levels.empty() && facts.sample_rate > 0 && facts.sample_rate <= kHighestRate &&
                    facts.hop_length > 0 && facts.hop_length <= kLongestHop &&
                    facts.lookahead_samples <= kLongestLookahead;
  if (!sane) refuse(path, "its metadata is damaged");
  return facts;
}

}  // namespace sese

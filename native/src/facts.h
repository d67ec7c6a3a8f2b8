// The facts about a model, from the metadata `sese` of its file. docs/guides/deploying.md lists them.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

namespace sese {

struct Level {
  double utilization;      // share of the scalable compute, in (0, 1]
  double macs_per_second;  // multiplications and additions of one channel
};

struct Facts {
  std::string name;
  int sample_rate;                // Hz
  std::size_t hop_length;         // samples of a frame
  std::size_t lookahead_samples;  // samples by which the model's output is late
  std::size_t latency_samples;    // hop and lookahead: the longest that a sample waits
  std::vector<Level> levels;      // lowest first
  bool router;                    // whether the model can choose levels itself
  bool gates;                     // whether it then chooses channels, and holds no mean share of compute
  bool alternatives;              // whether levels are experts of equal cost, of which one runs
  bool rests;  // whether a dial lets it run no level where nobody speaks or nothing disturbs
  std::map<std::string, std::map<std::string, double>> quality;  // of each budget: metric -> score
};

// Reads the facts of the file `path` from their JSON. Throws std::runtime_error where they are damaged, or of
// a format that this code does not read.
Facts read_facts(const std::string& path, const char* json);

// Throws the std::runtime_error of a file that is no model for this code.
[[noreturn]] void refuse(const std::string& path, const std::string& what);

}  // namespace sese

#include "sese.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>

namespace sese {
namespace {

constexpr int kFormat = 2;             // of the model file that this code reads
constexpr std::int64_t kRouter = -1;   // the level that leaves the choice to the router
constexpr double kSlack = 1e-6;        // 1/3 as a decimal is to select the level 1/3
const std::string kState = "state.", kNext = "next_state.";

[[noreturn]] void refuse(const std::string& path, const std::string& what) {
  throw std::runtime_error(path + " is not a model that this program can run: " + what +
                           "; make it anew with `sese export`");
}

Ort::SessionOptions one_thread() {
  Ort::SessionOptions options;
  options.SetIntraOpNumThreads(1);
  options.SetInterOpNumThreads(1);
  return options;
}

Ort::Session open(Ort::Env& env, const std::string& path) {
  // ONNX Runtime takes wide strings on Windows and narrow ones elsewhere.
  const std::basic_string<ORTCHAR_T> native(path.begin(), path.end());
  return Ort::Session(env, native.c_str(), one_thread());
}

Facts read_facts(const std::string& path, const Ort::Session& session) {
  Ort::AllocatorWithDefaultOptions allocator;
  const auto text = session.GetModelMetadata().LookupCustomMetadataMapAllocated("sese", allocator);
  if (!text) refuse(path, "it carries no `sese` metadata");
  try {
    const auto json = nlohmann::json::parse(text.get());
    if (json.at("format") != kFormat)
      refuse(path, "its format is " + json.at("format").dump() + " and this program reads " +
                       std::to_string(kFormat));
    Facts facts{json.at("name"),
                json.at("sample_rate"),
                json.at("hop_length"),
                json.at("lookahead_samples"),
                json.at("latency_samples"),
                {},
                json.at("router"),
                json.value("gates", false),
                json.value("alternatives", false),
                json.value("rests", false)};
    for (const auto& level : json.at("levels"))
      facts.levels.push_back({level.at("utilization"), level.at("macs_per_second")});
    if (facts.levels.empty() || facts.hop_length == 0) refuse(path, "its metadata is damaged");
    return facts;
  } catch (const nlohmann::json::exception& error) {
    refuse(path, std::string("its metadata is damaged (") + error.what() + ")");
  }
}

std::string listed(const Facts& facts) {
  std::ostringstream text;
  for (std::size_t i = 0; i < facts.levels.size(); ++i)
    text << (i ? ", " : "") << i << " (" << facts.levels[i].utilization << ")";
  return text.str();
}

}  // namespace

Model::Model(const std::string& path)
    : env_(ORT_LOGGING_LEVEL_ERROR, "sese"), session_(open(env_, path)), facts_(read_facts(path, session_)) {
  Ort::AllocatorWithDefaultOptions allocator;
  std::vector<std::string> missing{"audio", "level", "budget", "ceiling"};
  for (std::size_t i = 0; i < session_.GetInputCount(); ++i) {
    const std::string name = session_.GetInputNameAllocated(i, allocator).get();
    const auto known = std::find(missing.begin(), missing.end(), name);
    if (known != missing.end()) {
      missing.erase(known);
      continue;
    }
    if (name.rfind(kState, 0) != 0) refuse(path, "its input " + name + " is unknown");
    auto shape = session_.GetInputTypeInfo(i).GetTensorTypeAndShapeInfo().GetShape();
    if (shape.empty() || std::any_of(shape.begin() + 1, shape.end(), [](auto n) { return n < 1; }))
      refuse(path, "the shape of its input " + name + " is not fixed behind the batch");
    shape.erase(shape.begin());
    states_.emplace_back(name.substr(kState.size()), shape);
  }
  if (!missing.empty()) refuse(path, "it has no input " + missing.front());
}

Rule Model::at_level(std::int64_t level) const {
  const auto highest = static_cast<std::int64_t>(facts_.levels.size()) - 1;
  if (level < 0 || level > highest)
    throw std::invalid_argument("there is no level " + std::to_string(level) + "; " + facts_.name + " has " +
                                listed(facts_));
  return {level, 0.0F, highest};
}

Rule Model::within(double budget) const {
  if (facts_.gates || facts_.alternatives) {
    if (budget != 1)
      throw std::invalid_argument(facts_.name + " runs at no other budget than 1, or at one of its levels: " +
                                  listed(facts_));
    return facts_.router ? automatic() : at_level(static_cast<std::int64_t>(facts_.levels.size()) - 1);
  }
  const double lowest = facts_.levels.front().utilization, highest = facts_.levels.back().utilization;
  if (!(budget >= lowest - kSlack && budget <= 1))
    throw std::invalid_argument("the budget is not between the lowest level of " + facts_.name +
                                " and 1; it has " + listed(facts_));
  if (facts_.rests && budget < highest - kSlack) {
    Rule rule = automatic();
    rule.budget = static_cast<float>(budget);
    return rule;
  }
  std::int64_t level = 0;
  for (std::size_t i = 0; i < facts_.levels.size(); ++i)
    if (facts_.levels[i].utilization <= budget + kSlack) level = static_cast<std::int64_t>(i);
  return at_level(level);
}

Rule Model::automatic() const {
  if (!facts_.router)
    throw std::invalid_argument(facts_.name + " has no router; give one of its levels: " + listed(facts_));
  return {kRouter, 0.0F, static_cast<std::int64_t>(facts_.levels.size()) - 1};
}

Stream::Stream(const Model& model, std::size_t channels, const Rule& rule)
    : model_(model),
      channels_(channels),
      rule_(rule),
      audio_(channels * model.facts_.hop_length),
      enhanced_(audio_.size()) {
  if (channels == 0) throw std::invalid_argument("a stream needs a channel");
  for (auto& set : states_)
    for (const auto& [name, shape] : model.states_) {
      std::size_t size = channels;
      for (const auto axis : shape) size *= static_cast<std::size_t>(axis);
      set.emplace_back(size);
    }
  for (const std::size_t from : {0, 1}) bindings_.push_back(bind(from));
  restart();
}

void Stream::set_rule(const Rule& rule) { rule_ = rule; }

void Stream::feed(const float* samples, std::size_t count, std::vector<float>& ready) {
  const std::size_t hop = model_.facts_.hop_length;
  fed_ += count;
  while (count > 0) {
    const std::size_t taken = std::min(count, hop - filled_);
    for (std::size_t time = 0; time < taken; ++time)
      for (std::size_t channel = 0; channel < channels_; ++channel)
        audio_[channel * hop + filled_ + time] = *samples++;
    filled_ += taken;
    count -= taken;
    if (filled_ == hop) {
      run();
      append(ready, hop);
    }
  }
}

void Stream::flush(std::vector<float>& ready) {
  const std::size_t hop = model_.facts_.hop_length;
  while (returned_ < fed_) {
    for (std::size_t channel = 0; channel < channels_; ++channel) {
      float* frame = audio_.data() + channel * hop;
      std::fill(frame + filled_, frame + hop, 0.0F);
    }
    run();
    append(ready, static_cast<std::size_t>(std::min<std::uint64_t>(hop, fed_ - returned_)));
  }
  restart();
}

// Sends the frame in `audio_` through the model.
void Stream::run() {
  model_.session_.Run(Ort::RunOptions{nullptr}, bindings_[turn_]);
  turn_ = 1 - turn_;
  filled_ = 0;
  ++frames_;
  used_ += used_now_;
}

// Appends up to `limit` samples a channel of the enhanced frame, behind those from before the signal.
void Stream::append(std::vector<float>& ready, std::size_t limit) {
  const std::size_t hop = model_.facts_.hop_length, start = std::min(early_, hop);
  const std::size_t end = std::min(hop, start + limit);
  early_ -= start;
  returned_ += end - start;
  for (std::size_t time = start; time < end; ++time)
    for (std::size_t channel = 0; channel < channels_; ++channel)
      ready.push_back(enhanced_[channel * hop + time]);
}

void Stream::restart() {
  for (auto& state : states_[turn_]) std::fill(state.begin(), state.end(), 0.0F);
  early_ = model_.facts_.lookahead_samples;
  filled_ = 0;
  fed_ = returned_ = 0;
}

// Binds the arrays to the model, the state going from set `from` into the other.
Ort::IoBinding Stream::bind(std::size_t from) {
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  const auto tensor = [&](auto* data, std::size_t size, const std::vector<std::int64_t>& shape) {
    return Ort::Value::CreateTensor(memory, data, size, shape.data(), shape.size());
  };
  const auto batch = static_cast<std::int64_t>(channels_);
  const std::vector<std::int64_t> audio{batch, 1, static_cast<std::int64_t>(model_.facts_.hop_length)};
  Ort::IoBinding binding(model_.session_);
  binding.BindInput("audio", tensor(audio_.data(), audio_.size(), audio));
  binding.BindInput("level", tensor(&rule_.level, 1, {1}));
  binding.BindInput("budget", tensor(&rule_.budget, 1, {}));
  binding.BindInput("ceiling", tensor(&rule_.ceiling, 1, {}));
  binding.BindOutput("enhanced", tensor(enhanced_.data(), enhanced_.size(), audio));
  binding.BindOutput("utilization", tensor(&used_now_, 1, {1}));
  for (std::size_t i = 0; i < model_.states_.size(); ++i) {
    const auto& name = model_.states_[i].first;
    std::vector<std::int64_t> shape{batch};
    shape.insert(shape.end(), model_.states_[i].second.begin(), model_.states_[i].second.end());
    auto &now = states_[from][i], &next = states_[1 - from][i];
    binding.BindInput((kState + name).c_str(), tensor(now.data(), now.size(), shape));
    binding.BindOutput((kNext + name).c_str(), tensor(next.data(), next.size(), shape));
  }
  return binding;
}

}  // namespace sese

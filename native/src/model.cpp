#include "model.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <mutex>
#include <stdexcept>

namespace sese {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kLargestState =
    1 << 24;  // values of a channel; a damaged file is not to fill the memory
const std::string kState = "state.", kNext = "next_state.";

Ort::SessionOptions one_thread() {
  Ort::SessionOptions options;
  options.SetIntraOpNumThreads(1);
  options.SetInterOpNumThreads(1);
  return options;
}

Ort::Session open_session(Ort::Env& env, const std::string& path) {
  // ONNX Runtime takes wide strings on Windows and narrow ones elsewhere.
  return Ort::Session(env, fs::path(path).c_str(), one_thread());
}

Facts facts_of(const std::string& path, const Ort::Session& session) {
  Ort::AllocatorWithDefaultOptions allocator;
  const auto text = session.GetModelMetadata().LookupCustomMetadataMapAllocated("sese", allocator);
  if (!text) refuse(path, "it carries no `sese` metadata");
  return read_facts(path, text.get());
}

}  // namespace

std::shared_ptr<Model> Model::open(const std::string& path) {
  static std::mutex lock;
  static std::map<std::string, std::weak_ptr<Model>> opened;
  if (OrtGetApiBase()->GetApi(ORT_API_VERSION) == nullptr)
    throw std::runtime_error(std::string("ONNX Runtime ") + OrtGetApiBase()->GetVersionString() +
                             " is older than the headers that this library was built with");
  std::error_code missing;  // ONNX Runtime says it better
  fs::path file = fs::is_directory(path, missing) ? fs::path(path) / "model.onnx" : fs::path(path);
  const auto changed = fs::last_write_time(file, missing).time_since_epoch().count();
  const std::string key = fs::weakly_canonical(file, missing).string() + "\n" + std::to_string(changed);
  const std::lock_guard<std::mutex> held(lock);
  auto model = opened[key].lock();
  if (!model) opened[key] = model = std::make_shared<Model>(file.string());
  return model;
}

Model::Model(const std::string& path)
    : env_(ORT_LOGGING_LEVEL_ERROR, "sese"),
      session_(open_session(env_, path)),
      facts_(facts_of(path, session_)) {
  Ort::AllocatorWithDefaultOptions allocator;
  std::vector<std::string> missing{"audio", "level", "budget", "ceiling"};
  std::int64_t size = 0;
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
    std::int64_t values = 1;
    for (const auto axis : shape) values *= std::min(axis, kLargestState / values + 1);
    if ((size += values) > kLargestState) refuse(path, "its state is too large");
    states_.emplace_back(name.substr(kState.size()), shape);
  }
  if (!missing.empty()) refuse(path, "it has no input " + missing.front());
}

Step::Step(std::shared_ptr<Model> model, std::size_t channels)
    : model_(std::move(model)),
      channels_(channels),
      hop_(model_->facts_.hop_length),
      audio_(channels * hop_),
      enhanced_(audio_.size()) {
  for (auto& set : states_)
    for (const auto& [name, shape] : model_->states_) {
      std::size_t size = channels;
      for (const auto axis : shape) size *= static_cast<std::size_t>(axis);
      set.emplace_back(size);
    }
  for (const std::size_t from : {0, 1}) bindings_.push_back(bind(from));
}

double Step::run(const Rule& rule, std::int64_t ceiling) {
  level_ = std::min(rule.level, ceiling);  // kRouter, below all levels, stays
  budget_ = rule.budget;
  ceiling_ = ceiling;
  model_->session_.Run(Ort::RunOptions{nullptr}, bindings_[turn_]);
  turn_ = 1 - turn_;
  if (!std::all_of(enhanced_.begin(), enhanced_.end(), [](float x) { return std::isfinite(x); }))
    throw std::runtime_error("model " + model_->facts_.name +
                             " gave NaN or infinity; scale the audio to [-1, 1]");
  return used_;
}

void Step::reset() {
  for (auto& state : states_[turn_]) std::fill(state.begin(), state.end(), 0.0F);
}

// Binds the arrays to the model, the state going from set `from` into the other.
Ort::IoBinding Step::bind(std::size_t from) {
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  const auto tensor = [&](auto* data, std::size_t size, const std::vector<std::int64_t>& shape) {
    return Ort::Value::CreateTensor(memory, data, size, shape.data(), shape.size());
  };
  const auto batch = static_cast<std::int64_t>(channels_);
  const std::vector<std::int64_t> audio{batch, 1, static_cast<std::int64_t>(hop_)};
  Ort::IoBinding binding(model_->session_);
  binding.BindInput("audio", tensor(audio_.data(), audio_.size(), audio));
  binding.BindInput("level", tensor(&level_, 1, {1}));
  binding.BindInput("budget", tensor(&budget_, 1, {}));
  binding.BindInput("ceiling", tensor(&ceiling_, 1, {}));
  binding.BindOutput("enhanced", tensor(enhanced_.data(), enhanced_.size(), audio));
  binding.BindOutput("utilization", tensor(&used_, 1, {1}));
  for (std::size_t i = 0; i < model_->states_.size(); ++i) {
    const auto& name = model_->states_[i].first;
    std::vector<std::int64_t> shape{batch};
    shape.insert(shape.end(), model_->states_[i].second.begin(), model_->states_[i].second.end());
    auto &now = states_[from][i], &next = states_[1 - from][i];
    binding.BindInput((kState + name).c_str(), tensor(now.data(), now.size(), shape));
    binding.BindOutput((kNext + name).c_str(), tensor(next.data(), next.size(), shape));
  }
  return binding;
}

}  // namespace sese

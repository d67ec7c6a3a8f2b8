// Runs frames of a network under callgrind, one thread, for benchmarks/instructions.py:
//
//     instructions FRAMES KIND FILE NAME BEFORE BUDGET AUDIO [NAME BEFORE BUDGET AUDIO ...]
//
// KIND is sese (FILE is a model), onnx (a streaming network of others) or rnnoise (its library); the last two
// have one case, whose budget means nothing. AUDIO holds float32 samples, which are repeated. Each NAME is a
// case: BEFORE frames run uncounted, of a model all but two at its lowest level, as valgrind is slow. Then
// FRAMES are counted, and callgrind writes them as a dump of that name. Each case prints a line: the samples
// in a frame, the mean share of compute of the counted frames, and NAME.

#include <dlfcn.h>
#include <onnxruntime_cxx_api.h>
#include <valgrind/callgrind.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "sese.h"

namespace {

constexpr std::size_t kRnnoiseFrame = 480;

// Returns the next samples of a file again and again.
class Audio {
 public:
  explicit Audio(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    float sample = 0;
    while (file.read(reinterpret_cast<char*>(&sample), sizeof sample)) samples_.push_back(sample);
    if (samples_.empty()) throw std::runtime_error(path + " has no samples");
  }
  void next(std::vector<float>& frame, float scale = 1.0F) {
    for (float& sample : frame) sample = scale * samples_[at_++ % samples_.size()];
  }

 private:
  std::vector<float> samples_;
  std::size_t at_ = 0;
};

struct Case {
  std::string name;
  int before;
  std::string budget, audio;
};

// Runs a function for frames that are not counted, then for frames that are.
void count(const Case& which, int frames, const std::function<void()>& frame) {
  for (int i = 1; i < which.before; ++i) frame();
  CALLGRIND_START_INSTRUMENTATION;
  frame();  // valgrind translates the code anew
  CALLGRIND_ZERO_STATS;
  for (int i = 0; i < frames; ++i) frame();
  CALLGRIND_DUMP_STATS_AT(which.name.c_str());
  CALLGRIND_STOP_INSTRUMENTATION;
}

void report(const std::string& name, std::size_t samples, double used) {
  std::printf("case %zu %.6f %s\n", samples, used, name.c_str());
}

void check(bool done) {
  if (!done) throw std::runtime_error(sese_error());
}

void run_sese(int frames, const std::string& model, const std::vector<Case>& cases) {
  sese_stream* stream = sese_open(model.c_str(), 16000, 1);
  check(stream != nullptr);
  std::vector<float> samples(static_cast<std::size_t>(sese_about(stream)->hop_length));
  const int highest = sese_about(stream)->levels - 1;
  for (const Case& which : cases) {
    check(sese_reset(stream) == 0 && sese_set_budget(stream, which.budget.c_str()) == 0);
    Audio audio(which.audio);
    int done = 0;
    double before = 0;  // share of compute, summed over the frames that are not counted
    count(which, frames, [&] {
      audio.next(samples);
      check(sese_set_ceiling(stream, done + 2 < which.before ? 0 : highest) == 0);
      check(sese_process(stream, samples.data(), samples.data(), samples.size()) == 0);
      if (++done == which.before) before = sese_utilization(stream) * done;
    });
    report(which.name, samples.size(), (sese_utilization(stream) * done - before) / frames);
  }
  sese_close(stream);
}

std::vector<std::int64_t> shape_of(const Ort::TypeInfo& info) {
  auto shape = info.GetTensorTypeAndShapeInfo().GetShape();
  for (auto& axis : shape)
    if (axis < 1) axis = 1;
  return shape;
}

std::size_t size_of(const std::vector<std::int64_t>& shape) {
  std::size_t size = 1;
  for (const auto axis : shape) size *= static_cast<std::size_t>(axis);
  return size;
}

// A network whose first input and output are the signal; the others are states, in the same order.
void run_onnx(int frames, const std::string& path, const Case& which) {
  Ort::Env env(ORT_LOGGING_LEVEL_ERROR, "instructions");
  Ort::SessionOptions options;
  options.SetIntraOpNumThreads(1).SetInterOpNumThreads(1);
  Ort::Session session(env, path.c_str(), options);
  Ort::AllocatorWithDefaultOptions allocator;
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  std::vector<std::string> names;
  std::vector<std::vector<float>> fresh;
  std::vector<Ort::Value> values;
  for (std::size_t i = 0; i < session.GetInputCount(); ++i) {
    const auto shape = shape_of(session.GetInputTypeInfo(i));
    names.push_back(session.GetInputNameAllocated(i, allocator).get());
    fresh.emplace_back(size_of(shape));
    values.push_back(Ort::Value::CreateTensor(memory, fresh.back().data(), fresh.back().size(), shape.data(),
                                              shape.size()));
  }
  const std::size_t inputs = names.size();
  if (inputs != session.GetOutputCount())
    throw std::runtime_error(path + " has not as many outputs as inputs");
  for (std::size_t i = 0; i < inputs; ++i)
    names.push_back(session.GetOutputNameAllocated(i, allocator).get());
  std::vector<const char*> texts;
  for (const auto& name : names) texts.push_back(name.c_str());
  const auto out = shape_of(session.GetOutputTypeInfo(0));
  // A spectrum (1, bins, 1, 2) has a hop of half a window; audio comes out as a hop.
  const std::size_t hop = out.size() == 4 ? static_cast<std::size_t>(out[1] - 1) : size_of(out);
  Audio audio(which.audio);
  count(which, frames, [&] {
    audio.next(fresh[0]);
    auto made = session.Run(Ort::RunOptions{nullptr}, texts.data(), values.data(), inputs,
                            texts.data() + inputs, inputs);
    for (std::size_t i = 1; i < inputs; ++i) values[i] = std::move(made[i]);
  });
  report(which.name, hop, 1.0);
}

void run_rnnoise(int frames, const std::string& path, const Case& which) {
  void* library = dlopen(path.c_str(), RTLD_NOW);
  if (library == nullptr) throw std::runtime_error(dlerror());
  const auto create = reinterpret_cast<void* (*)(void*)>(dlsym(library, "rnnoise_create"));
  const auto process =
      reinterpret_cast<float (*)(void*, float*, const float*)>(dlsym(library, "rnnoise_process_frame"));
  if (create == nullptr || process == nullptr) throw std::runtime_error(path + " is not RNNoise");
  void* state = create(nullptr);
  std::vector<float> samples(kRnnoiseFrame);
  Audio audio(which.audio);
  count(which, frames, [&] {
    audio.next(samples, 32768.0F);
    process(state, samples.data(), samples.data());
  });
  report(which.name, kRnnoiseFrame, 1.0);
}

// Prints what the processor offers, as valgrind shows it: libraries choose their kernels by that.
void print_features() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  std::printf("features%s%s%s%s\n", __builtin_cpu_supports("sse4.1") ? " SSE4.1" : "",
              __builtin_cpu_supports("avx2") ? " AVX2" : "", __builtin_cpu_supports("fma") ? " FMA" : "",
              __builtin_cpu_supports("avx512f") ? " AVX-512" : "");
#else
  std::printf("features unknown\n");
#endif
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc < 8 || argc % 4 != 0) throw std::runtime_error("give FRAMES, KIND, FILE and cases");
    const int frames = std::atoi(argv[1]);
    const std::string kind = argv[2], path = argv[3];
    std::vector<Case> cases;
    for (int i = 4; i < argc; i += 4)
      cases.push_back({argv[i], std::atoi(argv[i + 1]), argv[i + 2], argv[i + 3]});
    print_features();
    if (kind == "sese")
      run_sese(frames, path, cases);
    else if (kind == "onnx")
      run_onnx(frames, path, cases.front());
    else
      run_rnnoise(frames, path, cases.front());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
  return 0;
}

// Enhances a sound file frame by frame, as a device would, and says how long frames took.

#include <sndfile.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "sese.h"

namespace {

namespace fs = std::filesystem;

const char* const kUsage =
    "usage: sese_enhance MODEL.onnx IN.wav OUT.wav [--level N | --budget U|auto] [--ceiling N]\n"
    "\n"
    "  --level N     run level N in every frame, 0 the cheapest\n"
    "  --budget U    run the highest level within the share U of compute, 1 if not given; `auto`: let the\n"
    "                router decide\n"
    "  --ceiling N   let the router choose no level above N\n";

struct Options {
  std::string model, input, output, level, budget, ceiling;
};

struct Usage : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

Options read_options(int count, char** words) {
  Options options;
  std::vector<std::string> files;
  for (int i = 1; i < count; ++i) {
    const std::string word = words[i];
    std::string* value = word == "--level"     ? &options.level
                         : word == "--budget"  ? &options.budget
                         : word == "--ceiling" ? &options.ceiling
                                               : nullptr;
    if (value == nullptr && word.rfind("--", 0) == 0) throw Usage("unknown option " + word);
    if (value == nullptr)
      files.push_back(word);
    else if (++i < count)
      *value = words[i];
    else
      throw Usage(word + " needs a value");
  }
  if (files.size() != 3) throw Usage("give a model, an input and an output");
  if (!options.level.empty() && !options.budget.empty()) throw Usage("give --level or --budget, not both");
  options.model = files[0], options.input = files[1], options.output = files[2];
  return options;
}

double number(const std::string& option, const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0') throw Usage(option + " is '" + text + "'; give a number");
  return value;
}

std::int64_t whole(const std::string& option, const std::string& text) {
  char* end = nullptr;
  const long long value = std::strtoll(text.c_str(), &end, 10);
  if (text.empty() || *end != '\0') throw Usage(option + " is '" + text + "'; give a whole number");
  return value;
}

sese::Rule rule_of(const sese::Model& model, const Options& options) {
  sese::Rule rule = model.within(1);
  if (!options.level.empty()) rule = model.at_level(whole("--level", options.level));
  if (options.budget == "auto")
    rule = model.automatic();
  else if (!options.budget.empty())
    rule = model.within(number("--budget", options.budget));
  if (!options.ceiling.empty()) {
    rule.ceiling = model.at_level(whole("--ceiling", options.ceiling)).level;
    rule.level = std::min(rule.level, rule.ceiling);  // -1, the router's, stays
  }
  return rule;
}

struct Close {
  void operator()(SNDFILE* file) const { sf_close(file); }
};
using File = std::unique_ptr<SNDFILE, Close>;

File open_input(const std::string& path, SF_INFO& info) {
  info = {};
  File file(sf_open(path.c_str(), SFM_READ, &info));
  if (!file) throw std::runtime_error(path + " cannot be read: " + sf_strerror(nullptr));
  return file;
}

// A WAV file of the input's rate and channels: 16 bits where the input has them, else 32-bit float.
File open_output(const std::string& path, SF_INFO info) {
  const bool narrow = (info.format & SF_FORMAT_SUBMASK) == SF_FORMAT_PCM_16;
  info.format = SF_FORMAT_WAV | (narrow ? SF_FORMAT_PCM_16 : SF_FORMAT_FLOAT);
  File file(sf_open(path.c_str(), SFM_WRITE, &info));
  if (!file) throw std::runtime_error(path + " cannot be written: " + sf_strerror(nullptr));
  sf_command(file.get(), SFC_SET_CLIPPING, nullptr, SF_TRUE);
  return file;
}

void write(SNDFILE* file, const std::vector<float>& samples, int channels) {
  const auto count = static_cast<sf_count_t>(samples.size()) / channels;
  if (sf_writef_float(file, samples.data(), count) != count)
    throw std::runtime_error(std::string("the output cannot be written: ") + sf_strerror(file));
}

void report(std::vector<double> milliseconds, const sese::Facts& facts, std::size_t samples, double used) {
  const double seconds = static_cast<double>(samples) / facts.sample_rate;
  double sum = 0;
  for (const double taken : milliseconds) sum += taken;
  std::sort(milliseconds.begin(), milliseconds.end());
  const auto at = [&](double share) {
    return milliseconds.empty() ? 0.0
                                : milliseconds[static_cast<std::size_t>(
                                      share * static_cast<double>(milliseconds.size() - 1))];
  };
  std::printf("%.2f s of audio, %zu frames of %g ms: median %.4f ms, 99th percentile %.4f ms, "
              "real-time factor %.4f, share of compute %.3f\n",
              seconds, milliseconds.size(),
              1000.0 * static_cast<double>(facts.hop_length) / facts.sample_rate, at(0.5), at(0.99),
              seconds > 0 ? sum / 1000 / seconds : 0.0, used);
}

void enhance(const Options& options) {
  if (fs::exists(options.output) && fs::equivalent(options.input, options.output))
    throw std::runtime_error("the output is the input itself; name another output");
  const sese::Model model(options.model);
  const sese::Facts& facts = model.facts();
  SF_INFO info;
  const File input = open_input(options.input, info);
  if (info.samplerate != facts.sample_rate)
    throw std::runtime_error(options.input + " is at " + std::to_string(info.samplerate) + " Hz and " +
                             facts.name + " runs at " + std::to_string(facts.sample_rate) +
                             " Hz; resample it first");
  const auto channels = static_cast<std::size_t>(info.channels);
  sese::Stream stream(model, channels, rule_of(model, options));

  const std::string unfinished = options.output + ".part";
  try {
    File output = open_output(unfinished, info);
    std::vector<float> frame(channels * facts.hop_length), ready;
    std::vector<double> milliseconds;
    std::size_t samples = 0;
    for (sf_count_t count; (count = sf_readf_float(input.get(), frame.data(),
                                                   static_cast<sf_count_t>(facts.hop_length))) > 0;) {
      ready.clear();
      const auto started = std::chrono::steady_clock::now();
      stream.feed(frame.data(), static_cast<std::size_t>(count), ready);
      const std::chrono::duration<double, std::milli> taken = std::chrono::steady_clock::now() - started;
      samples += static_cast<std::size_t>(count);
      if (static_cast<std::size_t>(count) == facts.hop_length) milliseconds.push_back(taken.count());
      write(output.get(), ready, info.channels);
    }
    ready.clear();
    stream.flush(ready);
    write(output.get(), ready, info.channels);
    if (sf_close(output.release()) != 0) throw std::runtime_error(unfinished + " cannot be written");
    fs::rename(unfinished, options.output);
    report(std::move(milliseconds), facts, samples, stream.utilization());
  } catch (...) {
    std::error_code ignored;
    fs::remove(unfinished, ignored);
    throw;
  }
}

}  // namespace

int main(int count, char** words) {
  try {
    enhance(read_options(count, words));
    return 0;
  } catch (const Usage& error) {
    std::fprintf(stderr, "sese_enhance: error: %s\n%s", error.what(), kUsage);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "sese_enhance: error: %s\n", error.what());
  }
  return 2;
}

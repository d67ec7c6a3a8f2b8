// Enhances a sound file frame by frame, as a device would, and says how long frames took.

#include <sndfile.h>

#include <algorithm>
#include <chrono>
#include <cmath>
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
    "usage: sese_enhance MODEL.onnx IN.wav OUT.wav [--level N | --budget U] [--ceiling N]\n"
    "\n"
    "  --level N     run level N in every frame, 0 the lowest\n"
    "  --budget U    run the highest level within the share U of compute, 1 if not given; `auto`: let the\n"
    "                router decide; or fixed:U, fastest, balanced, best\n"
    "  --ceiling N   run no level above N\n";

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

int whole(const std::string& option, const std::string& text) {
  char* end = nullptr;
  const long value = std::strtol(text.c_str(), &end, 10);
  if (text.empty() || *end != '\0') throw Usage(option + " is '" + text + "'; give a whole number");
  return static_cast<int>(std::clamp<long>(value, -1, 1 << 30));
}

void check(int code) {
  if (code != 0) throw std::runtime_error(sese_error());
}

struct Close {
  void operator()(SNDFILE* file) const { sf_close(file); }
};
using File = std::unique_ptr<SNDFILE, Close>;

struct CloseStream {
  void operator()(sese_stream* stream) const { sese_close(stream); }
};
using Stream = std::unique_ptr<sese_stream, CloseStream>;

Stream open_stream(const Options& options, const SF_INFO& info) {
  Stream stream(sese_open(options.model.c_str(), info.samplerate, info.channels));
  if (!stream) throw std::runtime_error(sese_error());
  if (!options.level.empty()) check(sese_set_level(stream.get(), whole("--level", options.level)));
  if (!options.budget.empty()) check(sese_set_budget(stream.get(), options.budget.c_str()));
  if (!options.ceiling.empty()) check(sese_set_ceiling(stream.get(), whole("--ceiling", options.ceiling)));
  return stream;
}

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

void report(std::vector<double> milliseconds, double frame_ms, double seconds, double used) {
  double sum = 0;
  for (const double taken : milliseconds) sum += taken;
  std::sort(milliseconds.begin(), milliseconds.end());
  const auto at = [&](double share) {
    return milliseconds.empty()
               ? 0.0
               : milliseconds[static_cast<std::size_t>(share * static_cast<double>(milliseconds.size() - 1))];
  };
  std::printf(
      "%.2f s of audio, %zu frames of %g ms: median %.4f ms, 99th percentile %.4f ms, "
      "real-time factor %.4f, share of compute %.3f\n",
      seconds, milliseconds.size(), frame_ms, at(0.5), at(0.99), seconds > 0 ? sum / 1000 / seconds : 0.0,
      used);
}

// Reads, enhances and writes frame by frame; the output is as long as the input, and aligned with it.
void run(sese_stream* stream, SNDFILE* input, SNDFILE* output, const SF_INFO& info) {
  const sese_facts& facts = *sese_about(stream);
  const double frame_seconds = static_cast<double>(facts.hop_length) / facts.sample_rate;
  const auto frame = static_cast<sf_count_t>(std::lround(frame_seconds * info.samplerate));
  std::vector<float> samples(static_cast<std::size_t>(frame * info.channels));
  std::vector<double> milliseconds;
  sf_count_t heard = 0, late = sese_latency(stream), early = late;  // `early`: output from before the signal
  for (;;) {
    sf_count_t count = sf_readf_float(input, samples.data(), frame);
    heard += count;
    if (count == 0) {  // silence brings out what is missing
      count = std::min(late, frame);
      late -= count;
      std::fill(samples.begin(), samples.end(), 0.0F);
    }
    if (count == 0) break;
    const auto started = std::chrono::steady_clock::now();
    check(sese_process(stream, samples.data(), samples.data(), static_cast<std::size_t>(count)));
    const std::chrono::duration<double, std::milli> taken = std::chrono::steady_clock::now() - started;
    if (late == sese_latency(stream) && count == frame) milliseconds.push_back(taken.count());
    const sf_count_t skipped = std::min(early, count);
    early -= skipped;
    if (sf_writef_float(output, samples.data() + skipped * info.channels, count - skipped) != count - skipped)
      throw std::runtime_error(std::string("the output cannot be written: ") + sf_strerror(output));
  }
  report(std::move(milliseconds), 1000 * frame_seconds, static_cast<double>(heard) / info.samplerate,
         sese_utilization(stream));
}

void enhance(const Options& options) {
  if (fs::exists(options.output) && fs::equivalent(options.input, options.output))
    throw std::runtime_error("the output is the input itself; name another output");
  SF_INFO info;
  const File input = open_input(options.input, info);
  const Stream stream = open_stream(options, info);
  const std::string unfinished = options.output + ".part";
  try {
    File output = open_output(unfinished, info);
    run(stream.get(), input.get(), output.get(), info);
    if (sf_close(output.release()) != 0) throw std::runtime_error(unfinished + " cannot be written");
    fs::rename(unfinished, options.output);
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

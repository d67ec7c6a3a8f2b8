// The C interface: exceptions become -1 and a text.

#include "sese.h"

#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

#include "stream.h"

struct sese_stream {
  sese_stream(const char* model, int sample_rate, int channels)
      : stream(sese::Model::open(model), sample_rate, channels) {
    const sese::Facts& facts = stream.facts();
    for (const auto& level : facts.levels) utilization.push_back(level.utilization);
    about = {facts.name.c_str(), facts.sample_rate, static_cast<int>(facts.hop_length),
             static_cast<int>(utilization.size()), utilization.data()};
  }

  sese::Stream stream;
  std::vector<double> utilization;
  sese_facts about;
};

namespace {

thread_local std::string reason;

// Runs `work`; returns 0, or -1 where it failed, and keeps the reason.
template <typename Work>
int code_of(Work work) {
  try {
    work();
    return 0;
  } catch (const std::exception& error) {
    reason = error.what();
  } catch (...) {
    reason = "an unknown failure";
  }
  for (char& letter : reason)
    if (letter == '\n') letter = ' ';
  return -1;
}

void require(const void* pointer, const char* name) {
  if (pointer == nullptr) throw std::invalid_argument(std::string(name) + " is NULL");
}

}  // namespace

extern "C" {

sese_stream* sese_open(const char* model, int sample_rate, int channels) {
  sese_stream* opened = nullptr;
  code_of([&] {
    require(model, "model");
    opened = new sese_stream(model, sample_rate, channels);
  });
  return opened;
}

void sese_close(sese_stream* stream) { delete stream; }

int sese_process(sese_stream* stream, const float* in, float* out, size_t count) {
  if (count == 0) return 0;
  return code_of([&] {
    require(stream, "stream"), require(in, "in"), require(out, "out");
    stream->stream.process(in, out, count);
  });
}

int sese_latency(const sese_stream* stream) {
  return stream == nullptr ? 0 : static_cast<int>(stream->stream.latency());
}

int sese_reset(sese_stream* stream) {
  return code_of([&] {
    require(stream, "stream");
    stream->stream.reset();
  });
}

int sese_set_budget(sese_stream* stream, const char* budget) {
  return code_of([&] {
    require(stream, "stream"), require(budget, "budget");
    stream->stream.set_rule(sese::parse_budget(stream->stream.facts(), budget));
  });
}

int sese_set_level(sese_stream* stream, int level) {
  return code_of([&] {
    require(stream, "stream");
    stream->stream.set_rule(sese::at_level(stream->stream.facts(), level));
  });
}

int sese_set_ceiling(sese_stream* stream, int level) {
  return code_of([&] {
    require(stream, "stream");
    stream->stream.set_ceiling(sese::at_level(stream->stream.facts(), level).level);
  });
}

double sese_utilization(const sese_stream* stream) {
  return stream == nullptr ? 0 : stream->stream.utilization();
}

const sese_facts* sese_about(const sese_stream* stream) {
  return stream == nullptr ? nullptr : &stream->about;
}

const char* sese_error(void) { return reason.c_str(); }

}  // extern "C"

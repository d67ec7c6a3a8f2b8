// The LADSPA plugins `sese` (mono) and `sese_stereo` (two channels at one level): ports and descriptors.

#include <ladspa.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <vector>

#include "instance.h"
#include "model_file.h"

namespace {

enum Control : unsigned long {
  kBudget,
  kMix,
  kAttenuation,
  kBypass,
  kBuffer,
  kWait,
  kLatency,
  kUnderruns,
  kControls
};

struct Port {
  const char* name;
  LADSPA_PortDescriptor kind;
  LADSPA_PortRangeHint hint;
};

constexpr int kBounds = LADSPA_HINT_BOUNDED_BELOW | LADSPA_HINT_BOUNDED_ABOVE;
constexpr int kIn = LADSPA_PORT_INPUT | LADSPA_PORT_CONTROL, kOut = LADSPA_PORT_OUTPUT | LADSPA_PORT_CONTROL;

// In the order of `Control`; audio ports come first.
const std::array<Port, kControls> kControlPorts{{
    {"Budget (0: automatic)", kIn, {kBounds | LADSPA_HINT_DEFAULT_1, 0, 1}},
    {"Mix", kIn, {kBounds | LADSPA_HINT_DEFAULT_1, 0, 1}},
    {"Maximum attenuation (dB)", kIn, {kBounds | LADSPA_HINT_DEFAULT_MAXIMUM, 0, sese::kNoLimit}},
    {"Bypass", kIn, {LADSPA_HINT_TOGGLED | LADSPA_HINT_DEFAULT_0, 0, 0}},
    {"Buffer (ms)", kIn, {kBounds | LADSPA_HINT_DEFAULT_LOW, 10, 90}},  // 30
    {"Wait (offline rendering)", kIn, {LADSPA_HINT_TOGGLED | LADSPA_HINT_DEFAULT_0, 0, 0}},
    {"latency", kOut, {LADSPA_HINT_INTEGER, 0, 0}},  // hosts know it by this name
    {"Underruns", kOut, {LADSPA_HINT_INTEGER, 0, 0}},
}};

const std::array<const char*, 2> kOneInput{"Input", "Output"};
const std::array<const char*, 4> kTwoInputs{"Input left", "Input right", "Output left", "Output right"};

// A plugin in a host: the instance, and where the host wants its ports.
struct Plugin {
  Plugin(unsigned long sample_rate, std::size_t count)
      : channels(count),
        instance(sese::model_file(), static_cast<int>(sample_rate), count),
        audio(2 * count, nullptr) {}

  float control(Control which) const { return *controls[which]; }

  std::size_t channels;
  sese::Instance instance;
  std::vector<LADSPA_Data*> audio;  // inputs, then outputs
  std::array<LADSPA_Data*, kControls> controls{};
};

template <std::size_t channels>
LADSPA_Handle instantiate(const LADSPA_Descriptor*, unsigned long sample_rate) {
  try {
    return new Plugin(sample_rate, channels);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "sese: %s\n", error.what());
    return nullptr;
  }
}

void connect_port(LADSPA_Handle handle, unsigned long port, LADSPA_Data* data) {
  auto& plugin = *static_cast<Plugin*>(handle);
  const std::size_t audio = plugin.audio.size();
  if (port < audio)
    plugin.audio[port] = data;
  else if (port < audio + kControls)
    plugin.controls[port - audio] = data;
}

void activate(LADSPA_Handle handle) { static_cast<Plugin*>(handle)->instance.activate(); }

void run(LADSPA_Handle handle, unsigned long count) {
  auto& plugin = *static_cast<Plugin*>(handle);
  const sese::Controls controls{plugin.control(kBudget),      plugin.control(kMix),
                                plugin.control(kAttenuation), plugin.control(kBypass) > 0,
                                plugin.control(kBuffer),      plugin.control(kWait) > 0};
  plugin.instance.run(plugin.audio.data(), plugin.audio.data() + plugin.channels, count, controls);
  *plugin.controls[kLatency] = static_cast<LADSPA_Data>(plugin.instance.latency());
  *plugin.controls[kUnderruns] = static_cast<LADSPA_Data>(plugin.instance.underruns());
}

void cleanup(LADSPA_Handle handle) { delete static_cast<Plugin*>(handle); }

// A descriptor and what it points to.
template <std::size_t channels>
struct Described {
  Described(unsigned long id, const char* label, const char* name, const char* const* audio_names) {
    for (std::size_t i = 0; i < 2 * channels; ++i) {
      names.push_back(audio_names[i]);
      kinds.push_back((i < channels ? LADSPA_PORT_INPUT : LADSPA_PORT_OUTPUT) | LADSPA_PORT_AUDIO);
      hints.push_back({});
    }
    for (const Port& port : kControlPorts) {
      names.push_back(port.name);
      kinds.push_back(port.kind);
      hints.push_back(port.hint);
    }
    descriptor.UniqueID = id;
    descriptor.Label = label;
    descriptor.Properties = LADSPA_PROPERTY_HARD_RT_CAPABLE;
    descriptor.Name = name;
    descriptor.Maker = "The sese developers";
    descriptor.Copyright = "MIT";
    descriptor.PortCount = names.size();
    descriptor.PortDescriptors = kinds.data();
    descriptor.PortNames = names.data();
    descriptor.PortRangeHints = hints.data();
    descriptor.instantiate = instantiate<channels>;
    descriptor.connect_port = connect_port;
    descriptor.activate = activate;
    descriptor.run = run;
    descriptor.cleanup = cleanup;
  }

  std::vector<const char*> names;
  std::vector<LADSPA_PortDescriptor> kinds;
  std::vector<LADSPA_PortRangeHint> hints;
  LADSPA_Descriptor descriptor{};
};

}  // namespace

extern "C" __attribute__((visibility("default"))) const LADSPA_Descriptor* ladspa_descriptor(
    unsigned long index) {
  static const Described<1> mono(0x736501, "sese", "sese speech enhancement", kOneInput.data());
  static const Described<2> stereo(0x736502, "sese_stereo", "sese speech enhancement, stereo",
                                   kTwoInputs.data());
  return index == 0 ? &mono.descriptor : index == 1 ? &stereo.descriptor : nullptr;
}

// host PLUGIN LABEL RATE BLOCK IN.f32 OUT.f32 [PORT=VALUE ...]: a small host for LADSPA plugins.
//
// Raw interleaved samples go through a plugin, block by block. PORT is the beginning of a control's name;
// three more words are the host's own: then=N is the length of blocks in the second half, wait_from=N sets
// the port `Wait` from block N on, spoil=1 allocates and locks beside the callback, as a bad plugin would.
// Prints the plugin's control outputs and what the guard counted, which is 0 where it is not preloaded.

#include <dlfcn.h>
#include <ladspa.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace {

template <typename Function>
Function symbol(void* library, const char* name) {
  return reinterpret_cast<Function>(dlsym(library, name));
}

const LADSPA_Descriptor* described(const char* path, const std::string& label) {
  void* const library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) std::fprintf(stderr, "%s\n", dlerror());
  const auto function = library ? symbol<LADSPA_Descriptor_Function>(library, "ladspa_descriptor") : nullptr;
  for (unsigned long i = 0; function != nullptr; ++i) {
    const LADSPA_Descriptor* const found = function(i);
    if (found == nullptr || found->Label == label) return found;
  }
  return nullptr;
}

std::vector<float> read(const char* path) {
  std::ifstream input(path, std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(input), {}};
  std::vector<float> samples(bytes.size() / sizeof(float));
  std::copy_n(bytes.data(), samples.size() * sizeof(float), reinterpret_cast<char*>(samples.data()));
  return samples;
}

// The value of a control: as given, or the default of the plugin's hints.
float first_value(const std::string& name, const LADSPA_PortRangeHint& hint,
                  const std::map<std::string, float>& given) {
  for (const auto& [begin, value] : given)
    if (name.rfind(begin, 0) == 0) return value;
  const float low = hint.LowerBound, high = hint.UpperBound;
  if (LADSPA_IS_HINT_DEFAULT_1(hint.HintDescriptor)) return 1;
  if (LADSPA_IS_HINT_DEFAULT_MAXIMUM(hint.HintDescriptor)) return high;
  if (LADSPA_IS_HINT_DEFAULT_LOW(hint.HintDescriptor)) return 0.75F * low + 0.25F * high;
  return 0;
}

}  // namespace

int main(int count, char** words) {
  if (count < 7) return 2;
  const LADSPA_Descriptor* const plugin = described(words[1], words[2]);
  if (plugin == nullptr) return 2;
  auto block = static_cast<std::size_t>(std::atol(words[4]));
  const std::vector<float> samples = read(words[5]);
  std::map<std::string, float> given;
  for (int i = 7; i < count; ++i) {
    const std::string word = words[i];
    given[word.substr(0, word.find('='))] = std::strtof(word.c_str() + word.find('=') + 1, nullptr);
  }
  LADSPA_Handle const handle = plugin->instantiate(plugin, std::strtoul(words[3], nullptr, 10));
  if (handle == nullptr) return 2;

  const auto longest = std::max(block, static_cast<std::size_t>(given["then"]));
  std::vector<std::vector<float>> audio;  // the buffer of each audio port, inputs first
  std::vector<float> controls(plugin->PortCount);
  float* wait = nullptr;
  audio.reserve(plugin->PortCount);
  for (unsigned long port = 0; port < plugin->PortCount; ++port) {
    const std::string name = plugin->PortNames[port];
    float* place = &controls[port];
    if (LADSPA_IS_PORT_AUDIO(plugin->PortDescriptors[port]))
      place = audio.emplace_back(longest).data();
    else if (LADSPA_IS_PORT_INPUT(plugin->PortDescriptors[port]))
      *place = first_value(name, plugin->PortRangeHints[port], given);
    if (name.rfind("Wait", 0) == 0) wait = place;
    plugin->connect_port(handle, port, place);
  }
  const std::size_t channels = audio.size() / 2;

  const auto enter = symbol<void (*)()>(RTLD_DEFAULT, "guard_enter");
  const auto leave = symbol<void (*)()>(RTLD_DEFAULT, "guard_leave");
  const auto counted = [](const char* name) {
    const auto function = symbol<long (*)()>(RTLD_DEFAULT, name);
    return function == nullptr ? 0 : function();
  };
  std::mutex mutex;
  std::ofstream output(words[6], std::ios::binary);
  std::vector<float> mixed(channels * longest);
  plugin->activate(handle);
  for (std::size_t at = 0, number = 0; at < samples.size() / channels; at += block, ++number) {
    if (given["then"] > 0 && at >= samples.size() / channels / 2) block = longest;
    const std::size_t length = std::min(block, samples.size() / channels - at);
    for (std::size_t i = 0; i < length * channels; ++i)
      audio[i % channels][i / channels] = samples[at * channels + i];
    if (given.count("wait_from") != 0 && number == static_cast<std::size_t>(given["wait_from"])) *wait = 1;
    if (enter != nullptr) enter();
    plugin->run(handle, length);
    if (given.count("spoil") != 0) {
      const std::lock_guard<std::mutex> held(mutex);
      void* volatile memory = std::malloc(length);
      std::free(memory);
    }
    if (leave != nullptr) leave();
    for (std::size_t i = 0; i < length * channels; ++i)
      mixed[i] = audio[channels + i % channels][i / channels];
    output.write(reinterpret_cast<const char*>(mixed.data()),
                 static_cast<std::streamsize>(length * channels * 4));
  }
  if (plugin->deactivate != nullptr) plugin->deactivate(handle);
  for (unsigned long port = 0; port < plugin->PortCount; ++port)
    if (LADSPA_IS_PORT_OUTPUT(plugin->PortDescriptors[port]) &&
        !LADSPA_IS_PORT_AUDIO(plugin->PortDescriptors[port]))
      std::printf("%s %.0f\n", plugin->PortNames[port], controls[port]);
  plugin->cleanup(handle);
  for (const char* const name : {"guard_allocations", "guard_locks", "guard_waits"})
    std::printf("%s %ld\n", name, counted(name));
  return output.good() ? 0 : 1;
}

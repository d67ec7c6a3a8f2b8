#include "model_file.h"

#include <cstdlib>
#include <filesystem>

namespace sese {
namespace {

std::string variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

std::string model_file() {
  if (const auto named = variable("SESE_MODEL"); !named.empty()) return named;
  const auto data = variable("XDG_DATA_HOME");
  const auto folder =
      data.empty() ? std::filesystem::path(variable("HOME")) / ".local/share" : std::filesystem::path(data);
  std::error_code unreadable;
  const auto own = folder / "sese" / "model.onnx";
  return std::filesystem::exists(own, unreadable) ? own.string() : SESE_INSTALLED_MODEL;
}

}  // namespace sese

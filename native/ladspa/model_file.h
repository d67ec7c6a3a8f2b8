// Which model a plugin runs: LADSPA has no way to name a file.
#pragma once

#include <string>

namespace sese {

// Returns the file that the variable SESE_MODEL names; else sese/model.onnx among the user's data, where
// there is one; else the one that was installed with the plugin.
std::string model_file();

}  // namespace sese

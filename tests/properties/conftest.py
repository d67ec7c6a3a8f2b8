"""How many examples are tried: few and always the same, or hundreds with `HYPOTHESIS_PROFILE=long`.

HYPOTHESIS_PROFILE=long pytest tests/properties
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

COMMON = {
    "deadline": None,  # machines are shared
    "database": None,
    "phases": [Phase.explicit, Phase.generate, Phase.shrink],  # to explain a failure takes minutes
    "suppress_health_check": [
        HealthCheck.too_slow,
        HealthCheck.function_scoped_fixture,
        HealthCheck.differing_executors,
    ],
}
settings.register_profile("ci", max_examples=12, derandomize=True, **COMMON)
settings.register_profile("long", max_examples=300, print_blob=True, **COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

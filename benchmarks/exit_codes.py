"""Exit codes of the benchmarks."""

from __future__ import annotations

import sys
from collections.abc import Callable

from sese.core.errors import InputError


def exit_code(name: str, command: Callable[[], object]) -> int:
    """Run a command and return its exit code: 0 done, 2 bad input, 130 interrupted.

    Args:
        name: Name of the benchmark, for messages.
        command: Does the work. A `SystemExit` that it raises is passed on.
    """
    try:
        command()
    except InputError as error:
        print(f"{name}: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return 130
    return 0

"""The one exception that users meet."""

from __future__ import annotations


class InputError(ValueError):
    """Something the caller gave cannot be used.

    The message is one line that says what was wrong, where (file or argument), the value that was got,
    and what to do. The command line prints it without a traceback and exits with code 2.
    """

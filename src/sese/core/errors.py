"""The one exception that users meet."""

from __future__ import annotations

import errno
import re
import reprlib

LONGEST = 1000
"""Characters of a message; what libraries say of damaged files may run to megabytes."""

_BRIEF = reprlib.Repr()
_BRIEF.maxstring = _BRIEF.maxother = 200


# What moves the cursor, colours, renames windows, turns the direction of writing, or cannot be encoded.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class InputError(ValueError):
    """Something the caller gave cannot be used.

    The message is one line that says what was wrong, where (file or argument), the value that was got,
    and what to do. The command line prints it without a traceback and exits with code 2.
    """

    def __init__(self, message: str):
        line = plain(" ".join(message.split()))
        half = (LONGEST - 5) // 2
        super().__init__(line if len(line) <= LONGEST else f"{line[:half]} ... {line[-half:]}")


_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


def remedy(error: OSError) -> str:
    """What to do about what the system refused."""
    if error.errno in _FULL:
        return "make space, or choose another place"
    if error.errno in _FORBIDDEN:
        return "get access to it, or choose another place"
    return "see to it, and start again"


def brief(value: object) -> str:
    """A value as it was given, for a message, however large or deep it is."""
    return _BRIEF.repr(value)


def plain(text: object) -> str:
    """A text from a file, or the name of one, with escapes for what a terminal would obey; line ends stay."""
    return _OBEYED.sub(lambda found: ascii(found[0])[1:-1], str(text))

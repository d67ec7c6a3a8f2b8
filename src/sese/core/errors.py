"""Errors for users: one exception, and the words that go into its message."""

from __future__ import annotations

import difflib
import errno
import re
import reprlib
from collections.abc import Iterable

LONGEST = 1000
"""Largest number of characters in a message; libraries may write megabytes about a damaged file."""

_BRIEF = reprlib.Repr()
_BRIEF.maxstring = _BRIEF.maxother = 200


# Characters that move the cursor, colour text, rename windows, change the direction of writing, or cannot
# be encoded.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class InputError(ValueError):
    """An input that cannot be used: an argument, an option, or a file.

    The message is one line that says what is wrong, where (file or argument) and with which value, and what
    to do. The command line prints it without a traceback and exits with code 2.
    """

    def __init__(self, message: str):
        line = plain(" ".join(message.split()))
        half = (LONGEST - 5) // 2
        super().__init__(line if len(line) <= LONGEST else f"{line[:half]} ... {line[-half:]}")


def did_you_mean(given: str, known: Iterable[str], quote: str = "") -> str:
    """Return a question for the known name that is nearest to a given one; an empty text if none is near.

    Args:
        given: The name that is not known.
        known: The names that are.
        quote: What stands around the name in the question.

    Example:
        >>> did_you_mean("sese-3", ["sese-2", "bloom-net"])
        'did you mean sese-2? '
    """
    near = difflib.get_close_matches(given, list(known), n=1)
    return f"did you mean {quote}{near[0]}{quote}? " if near else ""


_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


def remedy(error: OSError) -> str:
    """Return what the user can do about an error of the operating system."""
    if error.errno in _FULL:
        return "free some disk space, or choose another folder"
    if error.errno in _FORBIDDEN:
        return "change its permissions, or choose another folder"
    return "correct this and run the command again"


def brief(value: object) -> str:
    """Return a value as it was given, for a message, shortened where it is large or deep."""
    return _BRIEF.repr(value)


def plain(text: object) -> str:
    """Escape the characters of a text that a terminal would obey; line ends stay."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], str(text))

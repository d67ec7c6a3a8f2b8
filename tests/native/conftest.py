"""Fixtures of the tests of the native library and its plugin."""

from native.fixtures import built, speech

__all__ = ["built", "speech"]

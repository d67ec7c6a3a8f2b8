"""Serve a page on this machine that runs a model in the browser."""

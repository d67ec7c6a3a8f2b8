"""Bundled models, one folder each, with their cards."""

"""Heads: from the output of a backbone to the waveform."""

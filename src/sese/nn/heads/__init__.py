"""Audio out: from what a backbone makes to the waveform."""

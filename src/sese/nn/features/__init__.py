"""Audio in: what a backbone sees of the waveform."""

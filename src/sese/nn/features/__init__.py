"""Features: from a waveform to the inputs of the backbone, the head and the policy."""

"""Speech quality predicted without a clean reference, by a small network with binary activation maps."""

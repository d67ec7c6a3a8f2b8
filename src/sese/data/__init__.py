"""Corpora on disk, banks of decoded recordings, and noisy mixtures computed from them on demand."""

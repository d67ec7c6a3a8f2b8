"""Corpora on disk, decoded banks of recordings, and noisy mixtures made from them on the fly."""

"""Smaller numbers: weights and signals of a network in few bits."""

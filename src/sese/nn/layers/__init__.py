"""Layers whose hidden width can be slimmed, laid out so that a level is a prefix of the weights."""

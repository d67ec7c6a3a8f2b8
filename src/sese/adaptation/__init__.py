"""Adapt a model to one user's voice and surroundings."""

"""Predict the quality of a recording without its clean side, with NumPy."""

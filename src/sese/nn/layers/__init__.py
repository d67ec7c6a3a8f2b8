"""Layers of which a level runs a part. Weights are laid out so that this part is their beginning."""

"""Training of the network that chooses gains above a model's band."""

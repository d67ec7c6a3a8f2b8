"""The networks: features -> policy -> backbone -> head, joined in `enhancer.py`."""

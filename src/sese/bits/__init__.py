"""Run networks whose weights and signals are single bits, with NumPy or a C kernel."""

"""Running models without PyTorch: NumPy and ONNX Runtime only."""

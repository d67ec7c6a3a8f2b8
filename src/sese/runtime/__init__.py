"""Run models without PyTorch, with NumPy and ONNX Runtime only."""

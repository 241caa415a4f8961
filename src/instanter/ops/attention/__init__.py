"""Self-attention models of the extra `torch`: learned in a process of their own, kept as ONNX, run in another one."""

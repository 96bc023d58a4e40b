"""Nets in int8: a file of integers that answers logits, by onnxruntime or torchao."""

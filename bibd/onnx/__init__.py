"""Files in ONNX of nets with sparse layers, and nothing but standard operators in them.

to_onnx.py    the face: to_onnx(module, example, path)
exported.py   what torch.onnx makes of a net whose sparse layers are dense, with open weights
weights.py    puts nodes in the place of those weights: values, and where they stand
places.py     where connections stand: a formula where the pattern is a plane, else differences
cut.py        a graph with early exits: one that leaves, or a file for each part
"""

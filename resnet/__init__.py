"""The ResNet study: what sparsity, groups and early exits cost and save, alone and together."""

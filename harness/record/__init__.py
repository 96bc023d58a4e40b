"""What is kept of a study: files, checkpoints, weights, provenance, and which runs are done."""

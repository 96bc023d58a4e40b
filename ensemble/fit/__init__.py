"""Members in training: independent or bagged, at once; or boosted, one after the other."""

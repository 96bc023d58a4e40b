"""Runs the experiments of the elastic-gossip thesis, in its own words."""

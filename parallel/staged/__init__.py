"""Trains one config of the pipeline studies: nets by name, seeds alone or as one stack."""

"""Early exits for any net with stages; imports no model."""

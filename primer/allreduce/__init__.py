"""Ways in which workers add up what they have: as moves, carried out, counted, and timed."""

"""How each kind of config is trained, row after row."""

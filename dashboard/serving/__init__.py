"""How many visitors are served at once: models loaded, long work in turn, and results kept."""

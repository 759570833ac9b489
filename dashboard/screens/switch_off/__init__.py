"""The page Switch off: what a model loses where units are held at a value."""

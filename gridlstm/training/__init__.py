"""How a model is trained: what is read, one update after the other, what is written."""

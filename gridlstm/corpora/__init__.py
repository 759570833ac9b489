"""Texts to train on, made or fetched: each module is one corpus, by a way that never varies."""

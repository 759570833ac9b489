"""What every unit of a model does over a corpus, made once and kept in a file."""

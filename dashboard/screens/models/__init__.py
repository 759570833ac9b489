"""The page Models: what is known of each, and a place to bring more."""

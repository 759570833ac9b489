"""The page Text: where a visit begins, and the text is chosen."""

"""The page Find a cell: which units follow a property of the text, or are alike."""

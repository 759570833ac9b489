"""The page Cells: what each memory cell and gate holds along the text."""

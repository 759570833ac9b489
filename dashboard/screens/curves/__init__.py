"""The page Curves: validation losses of all runs, the models' own and those that visitors bring."""

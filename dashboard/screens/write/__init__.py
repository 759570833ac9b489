"""The page Let it write: a model writes, and one of its cells is watched."""

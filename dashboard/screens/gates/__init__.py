"""The page Forget gates: how long each layer keeps what it holds."""

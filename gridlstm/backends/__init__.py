"""How fast: torch's recurrences, packed products, kernels for a GPU; `plan` chooses."""

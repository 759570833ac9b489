"""The page Addition: a model adds two numbers digit by digit, and shows which cell carries."""

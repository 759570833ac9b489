"""The page that follows a property from the lowest layers up to the top."""

"""The page Who wrote it: which layer and which earlier character wrote a memory."""

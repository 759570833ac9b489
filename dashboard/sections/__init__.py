"""Parts of the pages, a subject a file; `views/` puts them together."""

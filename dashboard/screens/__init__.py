"""A folder a page, with its view, its parts and its charts; what several share lies beside them."""

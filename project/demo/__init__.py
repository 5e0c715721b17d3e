"""The demonstration: a worker that does real work, and a page on which its tasks move."""

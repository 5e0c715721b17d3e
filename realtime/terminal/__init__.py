"""Tasks on a terminal: what ``manage.py watch`` follows, counts and shows."""

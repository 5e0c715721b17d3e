"""Measurements on real servers, Redis and PostgreSQL: ``python -m bench fanout``."""

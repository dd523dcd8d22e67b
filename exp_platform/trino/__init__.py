"""Trino: the engine that computes the SQL models on a server."""

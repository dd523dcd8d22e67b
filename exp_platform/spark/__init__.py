"""Spark: the session that opens the lake's tables."""

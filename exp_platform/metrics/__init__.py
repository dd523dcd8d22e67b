"""Metric definitions, the SQL they compile to, and the typed totals it returns."""

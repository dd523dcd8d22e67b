"""HTTP: the metrics API."""

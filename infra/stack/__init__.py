"""The full stack on one machine: PostgreSQL, an S3 server and Trino on loopback."""

"""Functions for notebooks: a data frame or moments in, the platform's records out."""

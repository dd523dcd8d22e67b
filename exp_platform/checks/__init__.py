"""Can we trust it? Plain facts in, one `CheckResult` each out, and the verdict."""

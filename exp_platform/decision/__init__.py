"""What to do: estimates, checks and the plan in, `Decision` records out."""

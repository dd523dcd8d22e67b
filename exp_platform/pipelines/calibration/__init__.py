"""What the error rates are when they are measured: simulations, gates, the page."""

"""Where rented Thinkers come from: the market, the machines, and what they cost."""

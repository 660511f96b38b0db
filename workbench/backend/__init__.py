"""Who answers a miss. Knows no cache."""

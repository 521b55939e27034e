"""Tables of results, made from their records."""

"""Everything that can go wrong, tried."""

"""What a hostile file, model or neighbour could try, and does not get."""

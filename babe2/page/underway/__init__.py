"""A run while it is under way: its turn, its news, what is seen of it, and its end."""

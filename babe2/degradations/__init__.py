"""What happens to music on its way to an old recording, done on purpose or undone."""

"""What can go wrong, and the words for it."""

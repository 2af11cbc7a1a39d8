"""What refresh does."""

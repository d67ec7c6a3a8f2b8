"""Who decides how much runs."""

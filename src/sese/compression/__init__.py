"""Models in fewer bits."""

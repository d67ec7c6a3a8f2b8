"""Properties, tried on what hypothesis draws."""

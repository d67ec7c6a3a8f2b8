"""Enhancement inside other programs' frameworks."""

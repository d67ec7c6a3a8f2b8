"""Small recurrent networks that label speech: where somebody speaks, and a speaker's sex."""

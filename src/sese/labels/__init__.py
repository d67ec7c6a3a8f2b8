"""Small recurrent networks that label speech: where somebody speaks, a speaker's sex, the SNR of a frame."""

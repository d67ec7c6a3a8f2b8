"""Parts that every package uses: errors, files that appear whole, untrusted input, processes, checks."""

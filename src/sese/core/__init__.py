"""What every room uses: errors, files that appear whole, untrusted input, processes, checks."""

"""Systems: from a configuration's plain values to a network; one file each."""

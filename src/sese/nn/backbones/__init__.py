"""Systems, one file each: configuration and backbone."""

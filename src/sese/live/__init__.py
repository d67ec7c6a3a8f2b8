"""Enhance streams of other programs (`sese stream`) and of sound cards (`sese live`)."""

"""Streams of other programs and of sound cards: pipes (`sese stream`) and devices (`sese live`)."""

"""Measure the quality of an enhancer: metrics, evaluation over pairs at every level, and reports."""

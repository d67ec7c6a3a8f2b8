"""Enhance folders of files, on the cores of one machine or on a Ray cluster."""

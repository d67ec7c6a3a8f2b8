"""Policies, which decide what runs, and the choices and plans that follow from their scores."""

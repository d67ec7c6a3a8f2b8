"""Read (`files.py`), write (`writer.py`) and resample (`resample.py`, `polyphase.py`) audio."""

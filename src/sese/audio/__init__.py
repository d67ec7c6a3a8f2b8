"""Audio files, read (`files.py`) and written (`writer.py`); resampling (`resample.py`, `polyphase.py`)."""

"""Audio files, read (`files.py`) and written (`writer.py`), and resampling (`resample.py`, live `polyphase.py`)."""

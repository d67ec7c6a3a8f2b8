"""Audio in and out: files (`files.py` reads, `writer.py` writes) and streaming resampling (`resample.py`)."""

"""Tell speakers apart: embeddings, groups, and experts for groups of speakers."""

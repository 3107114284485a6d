"""Named public corpora and the user's own files: fetching, cleaning, caching."""

"""Named corpora and a user's own files: fetched, cleaned, and kept."""

"""Text pairs from any source to batches of subword ids."""

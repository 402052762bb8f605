"""Pages that say everything of a run: one HTML file each, which needs nothing else and opens offline."""

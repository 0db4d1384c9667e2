"""What accounts did, for people: figures, charts, and one self-contained page."""

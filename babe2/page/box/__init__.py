"""A box of records: several recordings at once, a side per turn, each to be heard and taken home."""
